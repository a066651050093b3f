/** The events of a job, read from a text/event-stream with `fetch`, so that a key can be sent; resumes where it broke off. */

import { ApiError, request, type Job, type JobStatus, type Problem, type Take } from "./api";

export type StreamedNote = [start: number, duration: number, instrument: number, pitch: number, velocity: number];
export type JobEvent =
  | { event: "state"; status: JobStatus; position?: number | null }
  | { event: "notes"; take: number; notes: StreamedNote[] }
  | { event: "progress"; take: number; seconds: number; notes: number }
  | { event: "take"; take: Take }
  | { event: "done"; job: Job }
  | { event: "failed"; problem: Problem | string }
  | { event: "cancelled" }
  /** Not the service's: the job is told from its beginning again, as after a restart of the service. */
  | { event: "again" };

const LAST = new Set(["done", "failed", "cancelled"]);
const TRIES = 6;
const PAUSE_MS = 500;

/** Calls `onEvent` for each event until the job has ended; raises `ApiError` when the stream cannot be had any more. */
export async function follow(jobId: string, onEvent: (event: JobEvent) => void): Promise<void> {
  let lastId = "";
  for (let failures = 0; ; ) {
    try {
      const headers: HeadersInit = lastId === "" ? {} : { "Last-Event-ID": lastId };
      const response = await request(`/v1/jobs/${encodeURIComponent(jobId)}/events`, { headers });
      for await (const message of messages(response)) {
        failures = 0;
        if (lastId !== "" && feedOf(message.id) !== feedOf(lastId)) onEvent({ event: "again" });
        if (message.id !== "") lastId = message.id;
        onEvent({ ...(JSON.parse(message.data) as object), event: message.event } as JobEvent);
        if (LAST.has(message.event)) return;
      }
    } catch (error) {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) throw error;
    }
    failures += 1;
    if (failures > TRIES) throw new ApiError(0, "The connection to the service was lost.");
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** (failures - 1)));
  }
}

/** Ids are "feed.number"; a job has another feed when it is composed again, and one more when it has ended. */
function feedOf(id: string): string {
  return id.split(".")[0] ?? "";
}

export interface Message {
  event: string;
  id: string;
  data: string;
}

async function* messages(response: Response): AsyncGenerator<Message> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const message = readMessage(block);
      if (message !== null) yield message;
    }
  }
}

/** One block of an event stream; null for a comment or an event without data. */
export function readMessage(block: string): Message | null {
  const message: Message = { event: "message", id: "", data: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") message.event = value ?? "";
    else if (field === "id") message.id = value ?? "";
    else if (field === "data") data.push(value ?? "");
  }
  return data.length === 0 ? null : { ...message, data: data.join("\n") };
}
