/** The stand-in's jobs: canned takes whose notes come in pieces, with pauses, as a model composes them. */

import type { Job, NotesBody, Take } from "../../src/api";
import { BPM, music } from "./music";

const BATCHES = 20;
const SLOW_PAUSE_MS = 500;
const PLAIN_BARS = 16;

export interface Running {
  job: Job;
  music: NotesBody[];
  events: { event: string; data: object }[];
  wake: Set<() => void>;
  ended: boolean;
  /** How often it has been begun; the events of each time have ids of their own. */
  feed: number;
}
type Asked = Record<string, unknown>;

export class Jobs {
  readonly all = new Map<string, Running>();
  private count = 0;

  /** `pauseMs`: between two batches of notes. */
  constructor(private readonly pauseMs: number) {}

  start(kind: string, request: Asked, parent: Job["parent"]): Job {
    const id = `job${++this.count}`;
    const takes = Number(request["takes"] ?? 1);
    const bars = /huge/.test(String(request["prompt"])) ? 136 : PLAIN_BARS;
    const seed = Number(request["seed"] ?? 1000 + this.count);
    const job: Job = {
      id, kind, status: "running", created: new Date().toISOString(), request: { ...request, takes, seed }, parent, takes: [], position: null, problem: null,
    };
    const pieces = Array.from({ length: takes }, (_, take) => music(bars, (take * 5 + this.count * 2) % 12));
    const running: Running = { job, music: pieces, events: [], wake: new Set(), ended: false, feed: 0 };
    this.all.set(id, running);
    void this.compose(running);
    return job;
  }

  private async compose(running: Running): Promise<void> {
    const { job, music: pieces } = running;
    const feed = ++running.feed;
    tell(running, "state", { status: "running", position: null });
    if (/fail/.test(String(job.request["prompt"]))) {
      job.problem = { title: "Composing failed", detail: "The model ran out of ideas." };
      return end(running, "failed", { problem: job.problem });
    }
    const rows = pieces.map((piece) =>
      piece.tracks
        .flatMap((track) => track.notes.map(([start, duration, pitch, velocity]) => [start, duration, track.instrument, pitch, velocity]))
        .sort((left, right) => (left[0] ?? 0) - (right[0] ?? 0)),
    );
    const pause = /slow/.test(String(job.request["prompt"])) ? SLOW_PAUSE_MS : this.pauseMs;
    for (let batch = 0; batch < BATCHES; batch++) {
      if (batch === 1 && /uneven/.test(String(job.request["prompt"]))) finish(running, pieces[0], 0);
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (running.ended || running.feed !== feed) return;
      rows.forEach((all, take) => {
        const notes = all.slice((all.length * batch) / BATCHES, (all.length * (batch + 1)) / BATCHES);
        tell(running, "notes", { take, notes });
        tell(running, "progress", { take, seconds: notes.at(-1)?.[0] ?? 0, notes: (all.length * (batch + 1)) / BATCHES });
      });
    }
    pieces.forEach((piece, index) => finish(running, piece, index));
    end(running, "done", { job: { ...job, status: "done" } });
  }

  /** What has not ended is composed again from its beginning. */
  restart(): void {
    for (const running of this.all.values()) {
      if (running.ended) continue;
      running.events = [];
      void this.compose(running);
    }
  }

  cancel(id: string): Job | null {
    const running = this.all.get(id);
    if (running !== undefined && !running.ended) end(running, "cancelled", {});
    return running?.job ?? null;
  }
}

function tell(running: Running, event: string, data: object): void {
  running.events.push({ event, data });
  for (const wake of running.wake) wake();
}

/** Ends one take, once. */
function finish(running: Running, piece: NotesBody | undefined, index: number): void {
  const { job } = running;
  if (piece === undefined || job.takes.some((take) => take.index === index)) return;
  const take = takeOf(piece, index, Number(job.request["seed"]) + index);
  job.takes.push(take);
  tell(running, "take", { take });
}

function end(running: Running, status: "done" | "failed" | "cancelled", data: object): void {
  running.job.status = status;
  running.ended = true;
  tell(running, status, data);
}

function takeOf(piece: NotesBody, index: number, seed: number): Take {
  return {
    index, seed, seconds: piece.seconds, tempo: BPM, metre: "4/4", key: "A minor",
    notes: piece.tracks.reduce((sum, track) => sum + track.notes.length, 0),
    instruments: piece.tracks.map(({ instrument, name }) => ({ instrument, name })),
    findings: [{ wish: "tempo", asked: "112 bpm", found: "112 bpm", met: true }],
  };
}
