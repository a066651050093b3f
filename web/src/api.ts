/** The service's HTTP API, version 1: its shapes, and one function for each request the studio makes. */

export interface Wishes {
  tempo?: number;
  key?: string;
  metre?: string;
  bars?: number;
  loop?: boolean;
  density?: string;
  only?: string;
  with?: string;
  without?: string;
  scale?: string;
  ranges?: string[];
}
export interface Plan {
  seconds: number | null;
  text: string;
  /** Null, or not there: no such wish. */
  wishes: { [Name in keyof Wishes]?: Wishes[Name] | null };
}
export interface Instrument {
  instrument: number;
  name: string;
}
export interface Finding {
  wish: string;
  asked: string;
  found: string;
  /** Null: nothing can be measured. */
  met: boolean | null;
}
export interface Take {
  index: number;
  seed: number;
  seconds: number;
  tempo: number;
  metre: string;
  key: string | null;
  notes: number;
  instruments: Instrument[];
  findings: Finding[];
}
export interface Problem {
  title?: string;
  detail?: string;
  status?: number;
}
export type JobStatus = "queued" | "running" | "done" | "failed" | "cancelled";
export interface Job {
  id: string;
  kind: string;
  status: JobStatus;
  created: string | number;
  request: Record<string, unknown>;
  parent: { job: string; take: number } | null;
  takes: Take[];
  position: number | null;
  problem: Problem | string | null;
}
export interface NotesBody {
  seconds: number;
  tempos: [number, number][];
  metres: [number, number, number][];
  tracks: { name: string; instrument: number; notes: [number, number, number, number][] }[];
}
export interface Composition {
  prompt: string;
  seconds?: number | "auto";
  takes?: number;
  seed?: number;
  wishes?: Wishes;
}
export type EditKind = "continue" | "infill" | "accompany" | "replace" | "vary";
export type Source = { upload: string } | { job: string; take: number };
export interface Edit {
  kind: EditKind;
  source: Source;
  prompt?: string;
  takes?: number;
  seed?: number;
  seconds?: number;
  bars?: [number, number];
  instruments?: string;
  instrument?: string;
  by?: string;
  strength?: number;
}
export interface Upload {
  id: string;
  name: string;
  seconds: number;
}
export type PieceFile = "midi" | "musicxml" | "wav";

/** What went wrong with a request; `status` 0 means that the service was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const KEY_NAME = "midi-llm.key";

export function apiKey(): string | null {
  return localStorage.getItem(KEY_NAME);
}

export function setApiKey(key: string): void {
  localStorage.setItem(KEY_NAME, key);
}

/** A response with a status below 400; anything else is an `ApiError`. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = apiKey();
  if (key !== null) headers.set("Authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "The service cannot be reached.");
  }
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}

async function problemOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return problemText(JSON.parse(text) as Problem) || response.statusText;
  } catch {
    return response.statusText || `The service answered ${response.status}.`;
  }
}

export function problemText(problem: Problem | string | null): string {
  if (problem === null) return "";
  return typeof problem === "string" ? problem : (problem.detail ?? problem.title ?? "");
}

async function read<T>(path: string, init?: RequestInit): Promise<T> {
  return (await (await request(path, init)).json()) as T;
}

function posted(body: unknown, signal?: AbortSignal): RequestInit {
  const init: RequestInit = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  return signal === undefined ? init : { ...init, signal };
}

export function plan(body: Composition, signal: AbortSignal): Promise<Plan> {
  return read("/v1/plans", posted(body, signal));
}

export function compose(body: Composition): Promise<Job> {
  return read("/v1/compositions", posted(body));
}

export function edit(body: Edit): Promise<Job> {
  return read("/v1/edits", posted(body));
}

export function upload(midi: Uint8Array<ArrayBuffer>, name: string): Promise<Upload> {
  return read(`/v1/uploads?name=${encodeURIComponent(name)}`, { method: "POST", headers: { "Content-Type": "audio/midi" }, body: midi });
}

export function cancel(id: string): Promise<Job> {
  return read(`/v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export function notes(jobId: string, take: number): Promise<NotesBody> {
  return read(`${takePath(jobId, take)}/notes`);
}

/** Where the files of a piece are. */
export function sourcePath(source: Source): string {
  return "upload" in source ? `/v1/uploads/${encodeURIComponent(source.upload)}` : takePath(source.job, source.take);
}

export function takePath(jobId: string, take: number): string {
  return `/v1/jobs/${encodeURIComponent(jobId)}/takes/${take}`;
}
