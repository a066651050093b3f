/** A server that speaks the API with canned music, for the studio's development and tests. Composes nothing. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { existsSync, readFileSync } from "node:fs";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { instrumentName } from "../../src/music/instruments";
import { writeMidi } from "../../src/music/midi-file";
import { withNotesBody, type Piece } from "../../src/music/piece";
import type { NotesBody } from "../../src/api";
import { Jobs, type Running } from "./jobs";
import { score, wav } from "./music";

const STUDIO = fileURLToPath(new URL("../../../src/midi_llm/server/studio/", import.meta.url));
const FONTS = ["/usr/share/sounds/sf2/TimGM6mb.sf2", "/usr/share/sounds/sf2/default-GM.sf2"];
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

export interface StandIn {
  readonly server: Server;
  readonly url: string;
  readonly jobs: Jobs;
  /** Bodies of the requests to /v1/compositions and /v1/edits, in order. */
  readonly asked: Record<string, unknown>[];
  /** The files sent to /v1/uploads. */
  readonly uploads: Buffer[];
  /** Loses all jobs and uploads, as a service does that is started on another folder. */
  forget(): void;
  /** Cuts all streams off and begins what has not ended again, as a service does that was killed and started again. */
  restart(): void;
  close(): Promise<void>;
}

export interface Options {
  /** 0 takes a free one. */
  readonly port?: number;
  /** Whether it has a sound font, where the machine has one. */
  readonly font?: boolean;
  /** The API key that it asks for; "": none. */
  readonly key?: string;
  /** Between two batches of notes; there are twenty. */
  readonly pauseMs?: number;
}

export async function standIn({ port = 0, font = true, key = "", pauseMs = 5 }: Options = {}): Promise<StandIn> {
  const state = { jobs: new Jobs(pauseMs), asked: [] as Record<string, unknown>[], uploads: [] as Buffer[], font, key };
  const server = createServer((request, response) => void answer(state, request, response));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : port}`;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const forget = (): void => {
    state.jobs.all.clear();
    state.uploads.length = 0;
  };
  const restart = (): void => {
    server.closeAllConnections();
    state.jobs.restart();
  };
  return { server, url, forget, restart, jobs: state.jobs, asked: state.asked, uploads: state.uploads, close };
}

type State = Pick<StandIn, "jobs" | "asked" | "uploads"> & { font: boolean; key: string };

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = new URL(request.url ?? "/", "http://stand-in").pathname;
  const [, , what, id, part, take, file] = path.split("/");
  const job = state.jobs.all.get(id ?? "");
  if (path === "/healthz") return json(response, 200, { status: "ok" });
  if (!path.startsWith("/v1/")) return page(response, path);
  if (state.key !== "" && request.headers.authorization !== `Bearer ${state.key}`) return problem(response, 401, "An API key is needed.");
  if (what === "soundfont") return soundFont(state, response);
  if (what === "uploads" && request.method === "GET") {
    const sent = state.uploads[Number(id?.replace("upload", "")) - 1];
    if (sent === undefined) return problem(response, 404, "There is no such upload.");
    return part === "midi" ? bytes(response, "audio/midi", sent) : madeFile(part ?? "", response);
  }
  if (what === "uploads") {
    state.uploads.push(await bodyOf(request));
    return json(response, 201, { id: `upload${state.uploads.length}`, name: "upload", bars: 16, seconds: 34, tempo: 112, instruments: [] });
  }
  if (request.method === "POST") return posted(state, what ?? "", JSON.parse((await bodyOf(request)).toString()) as Record<string, unknown>, response);
  if (what !== "jobs" || job === undefined) return problem(response, 404, "There is no such thing here.");
  if (request.method === "DELETE") return json(response, 200, state.jobs.cancel(id ?? ""));
  if (part === "events") return stream(job, request, response);
  if (part === "takes") return takeFile(job, Number(take), file ?? "", response);
  return json(response, 200, job.job);
}

function posted(state: State, what: string, body: Record<string, unknown>, response: ServerResponse): void {
  const prompt = String(body["prompt"] ?? "");
  if (what === "plans") return json(response, 200, planOf(prompt, body));
  state.asked.push(body);
  if (/impossible/.test(prompt)) return problem(response, 422, "A tempo of 900 bpm; allowed is 20 to 300.");
  if (what === "compositions") return json(response, 202, state.jobs.start("compose", body, null));
  const source = body["source"] as { job?: string; take?: number };
  if (source.job !== undefined && !state.jobs.all.has(source.job)) return problem(response, 404, "There is no such job.");
  const parent = source.job === undefined ? null : { job: source.job, take: source.take ?? 0 };
  json(response, 202, state.jobs.start(String(body["kind"]), body, parent));
}

function planOf(prompt: string, body: Record<string, unknown>): object {
  const tempo = /(\d+) bpm/.exec(prompt)?.[1];
  const key = /in ([A-G]\w*) (minor|major)/.exec(prompt);
  const named = ["piano", "bass", "drums", "guitar", "strings", "clarinet"].filter((name) => prompt.includes(name));
  const read = {
    ...(tempo === undefined ? {} : { tempo: Number(tempo) }),
    ...(key === null ? {} : { key: `${key[1]} ${key[2]}` }),
    ...(named.length === 0 ? {} : { with: named.join(", ") }),
  };
  return { seconds: body["seconds"] ?? 30, text: prompt, wishes: { ...read, ...(body["wishes"] as object) } };
}

function stream(running: Running, request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const { wake, feed } = running;
  const [lastFeed, last] = String(request.headers["last-event-id"] ?? "").split(".").map(Number);
  let sent = lastFeed === feed ? (last ?? 0) : 0;
  const send = (): void => {
    for (const { event, data } of running.events.slice(sent)) {
      response.write(`id: ${feed}.${++sent}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
      if (["done", "failed", "cancelled"].includes(event)) response.end();
    }
  };
  wake.add(send);
  request.on("close", () => wake.delete(send));
  send();
}

function takeFile(running: Running, take: number, file: string, response: ServerResponse): void {
  const body = running.music[take];
  if (body === undefined) return problem(response, 404, "There is no such take.");
  if (file === "notes") return json(response, 200, body);
  if (file === "midi") return bytes(response, "audio/midi", midiOf(body));
  madeFile(file, response);
}

/** The same for every piece. */
function madeFile(file: string, response: ServerResponse): void {
  if (file === "musicxml") return bytes(response, "application/vnd.recordare.musicxml+xml", Buffer.from(score()));
  return file === "wav" ? bytes(response, "audio/wav", wav()) : problem(response, 404, "There is no such file.");
}

/** The MIDI file of a canned piece. */
export function midiOf(body: NotesBody): Uint8Array {
  const tracks = body.tracks.map((track) => ({ ...track, name: track.name || instrumentName(track.instrument) }));
  return writeMidi(withNotesBody({ tracks: [] } as unknown as Piece, { ...body, tracks }));
}

function soundFont(state: State, response: ServerResponse): void {
  const found = FONTS.find((path) => existsSync(path));
  if (!state.font || found === undefined) return problem(response, 404, "No sound font was found.");
  bytes(response, "application/octet-stream", readFileSync(found));
}

function page(response: ServerResponse, path: string): void {
  const file = join(STUDIO, normalize(path === "/" ? "/index.html" : path));
  if (!file.startsWith(STUDIO) || !existsSync(file)) return problem(response, 404, "There is no such page.");
  bytes(response, TYPES[extname(file)] ?? "application/octet-stream", readFileSync(file));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function bytes(response: ServerResponse, type: string, body: Uint8Array): void {
  response.writeHead(200, { "Content-Type": type, "Content-Length": body.length }).end(body);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

function problem(response: ServerResponse, status: number, detail: string): void {
  response.writeHead(status, { "Content-Type": "application/problem+json" }).end(JSON.stringify({ status, title: "Problem", detail }));
}
