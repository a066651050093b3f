/** The studio's dealings with the service: composing, editing, following jobs, and what state they are in. */

import * as api from "./api";
import { follow, type JobEvent } from "./events";
import type { History } from "./history";
import { writeMidi } from "./music/midi-file";
import { pieceId, withNotesBody, withStreamed, type Piece, type Track } from "./music/piece";
import type { Store } from "./store";

export type EditWish = Omit<api.Edit, "source">;

const RECONNECT_MS = 3000;
const NAME_LENGTH = 60;

export class Work {
  /** The last thing that went wrong, for the banner. */
  problem = "";
  online = true;
  needsKey = false;
  /** A request has been sent and not been answered yet. */
  asking = false;
  private readonly uploads = new WeakMap<readonly Track[], Promise<string>>();
  /** Pieces whose final notes are being fetched. */
  private readonly finishing = new Map<string, Promise<void>>();

  constructor(
    private readonly store: Store,
    private readonly history: History,
  ) {}

  /** Jobs that have not ended. */
  get running(): string[] {
    const going = [...this.store.pieces.values()].filter((piece) => isGoing(piece));
    return [...new Set(going.flatMap((piece) => piece.job ?? []))];
  }

  async compose(): Promise<void> {
    const { prompt, wishes, seconds, takes, seed } = this.store.document;
    const body: api.Composition = { prompt, takes };
    if (Object.keys(wishes).length > 0) body.wishes = wishes;
    if (seconds !== null) body.seconds = seconds;
    if (seed !== null) body.seed = seed;
    await this.start(() => api.compose(body), this.blank(prompt));
  }

  async edit(piece: Piece, wish: EditWish): Promise<void> {
    await this.start(
      () => this.about(piece, (source) => api.edit({ ...wish, source })),
      {
        ...this.blank(wish.prompt || piece.prompt),
        parent: piece.id,
        expected: piece.seconds + (wish.kind === "continue" ? (wish.seconds ?? 0) : 0),
        tempos: piece.tempos,
        metres: piece.metres,
      },
    );
  }

  /** A take of a finished job is known to the service; one edited by hand, or whose job goes on, is uploaded first. */
  private async sourceOf(piece: Piece): Promise<api.Source> {
    const { job, take } = piece;
    if (job !== null && !this.store.isEdited(piece) && !this.running.includes(job)) return { job, take };
    return { upload: await this.uploaded(piece) };
  }

  /** The upload of a piece as it stands; sent once for each state of it. */
  private uploaded(piece: Piece): Promise<string> {
    const tracks = this.store.tracksOf(piece);
    const before = this.uploads.get(tracks);
    if (before !== undefined) return before;
    const name = `${piece.prompt.slice(0, NAME_LENGTH) || "piece"}.mid`;
    const sent = api.upload(writeMidi({ ...piece, tracks }), name).then(({ id }) => id);
    this.uploads.set(tracks, sent);
    sent.catch(() => this.uploads.delete(tracks));
    return sent;
  }

  /** Asks something about a piece; a service that does not know it any more is sent it, and asked again. */
  private async about<T>(piece: Piece, ask: (source: api.Source) => Promise<T>): Promise<T> {
    try {
      return await ask(await this.sourceOf(piece));
    } catch (error) {
      if (!(error instanceof api.ApiError) || error.status !== 404) throw error;
      this.uploads.delete(this.store.tracksOf(piece));
      return ask({ upload: await this.uploaded(piece) });
    }
  }

  /** A file of a piece as it stands, from the service; null where it cannot be had, which the banner says. */
  file(piece: Piece, file: api.PieceFile): Promise<Response | null> {
    return this.attempt(() => this.about(piece, (source) => api.request(`${api.sourcePath(source)}/${file}`)));
  }

  /** A piece of which nothing has been composed, with the tempo, metre and length that the prompt is understood to want. */
  private blank(prompt: string): Piece {
    const { plan, document } = this.store;
    const { tempo, metre } = plan?.wishes ?? {};
    const [beats, unit] = (metre ?? "").split("/").map(Number);
    const asked = document.seconds ?? plan?.seconds;
    return {
      id: "", job: null, take: 0, kind: "compose", prompt, seed: null, parent: null, created: Date.now(), status: "queued",
      problem: "", seconds: 0, expected: typeof asked === "number" ? asked : 0, tempos: typeof tempo === "number" ? [[0, tempo]] : [],
      metres: beats && unit ? [[0, beats, unit]] : [], tracks: [], about: null,
    };
  }

  private async start(ask: () => Promise<api.Job>, blank: Piece): Promise<void> {
    this.asking = true;
    this.problem = "";
    this.store.tell();
    const job = await this.attempt(ask);
    this.asking = false;
    this.store.tell();
    if (job === null) return;
    this.place(job, blank);
    this.store.show(pieceId(job.id, 0));
    await this.watch(job.id);
  }

  /** Puts a place for each take of a job into the library. */
  private place(job: api.Job, blank: Piece): void {
    const takes = Math.max(1, Number(job.request["takes"] ?? 1));
    const seed = Number(job.request["seed"]);
    for (let take = 0; take < takes; take++) {
      const drawn = Number.isFinite(seed) ? seed + take : null;
      this.keep({ ...blank, id: pieceId(job.id, take), job: job.id, take, kind: job.kind, seed: drawn });
    }
  }

  private keep(piece: Piece): void {
    this.store.put(piece);
    this.history.save(piece);
  }

  /** Follows a job to its end. */
  async watch(jobId: string): Promise<void> {
    try {
      await follow(jobId, (event) => this.take(jobId, event));
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      this.note(error);
      if (error.status === 401) return; // it is followed again with a key
      const gone = error.status === 404 ? "The service does not know this job any more." : error.message;
      this.endAll(jobId, "failed", gone);
    }
  }

  private take(jobId: string, event: JobEvent): void {
    this.online = true;
    if (event.event === "take") void this.finish(jobId, event.take);
    else if (event.event === "done") void this.finishAll(event.job);
    else if (event.event === "failed") this.endAll(jobId, "failed", api.problemText(event.problem));
    else if (event.event === "cancelled") this.endAll(jobId, "cancelled", "");
    else for (const piece of this.goingOf(jobId)) this.store.put(told(piece, event));
  }

  private goingOf(jobId: string): Piece[] {
    return [...this.store.pieces.values()].filter((piece) => piece.job === jobId && isGoing(piece));
  }

  private async finish(jobId: string, take: api.Take): Promise<void> {
    const id = pieceId(jobId, take.index);
    await this.finishing.get(id);
    const fetching = this.fetchNotes(jobId, take);
    this.finishing.set(id, fetching);
    await fetching;
    this.finishing.delete(id);
  }

  /** The final notes of a take; where the service has them only after the whole job, the end of it asks again. */
  private async fetchNotes(jobId: string, take: api.Take): Promise<void> {
    const piece = this.store.pieces.get(pieceId(jobId, take.index));
    if (piece === undefined || piece.status === "done") return;
    const body = await this.attempt(() => api.notes(jobId, take.index).catch(unlessUnfinished));
    if (body !== null) this.keep({ ...withNotesBody(piece, body), status: "done", about: take, seed: take.seed });
  }

  /** The end of a job; a take that it does not have (fewer were kept) will not come any more. */
  private async finishAll(job: api.Job): Promise<void> {
    await Promise.all(job.takes.map((take) => this.finish(job.id, take)));
    const kept = new Set(job.takes.map((take) => take.index));
    for (const piece of this.goingOf(job.id)) if (!kept.has(piece.take)) this.keep({ ...piece, status: "cancelled" });
  }

  private endAll(jobId: string, status: api.JobStatus, problem: string): void {
    for (const piece of this.goingOf(jobId)) this.keep({ ...piece, status, problem });
  }

  async cancel(jobId: string): Promise<void> {
    await this.attempt(() => api.cancel(jobId));
  }

  /** Opens what the browser remembers, and follows jobs that had not ended. */
  async restore(): Promise<void> {
    const { pieces, edits } = await this.history.load();
    for (const piece of pieces) this.store.put(isGoing(piece) ? emptied(piece) : piece);
    this.store.begin({ ...this.store.document, edits });
    for (const jobId of this.running) void this.watch(jobId);
  }

  /** Runs a request; a failure is noted for the banner and gives null. */
  async attempt<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      const answer = await ask();
      this.online = true;
      this.needsKey = false;
      return answer;
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      this.note(error);
      return null;
    }
  }

  private note(error: api.ApiError): void {
    this.needsKey = error.status === 401;
    this.problem = error.status === 0 ? "" : error.message;
    if (error.status === 0 && this.online) {
      this.online = false;
      void this.reconnect();
    }
    this.store.tell();
  }

  private async reconnect(): Promise<void> {
    while (!this.online) {
      await pause(RECONNECT_MS);
      await this.attempt(() => api.request("/healthz"));
    }
    this.store.tell();
  }

  dismiss(): void {
    this.problem = "";
    this.store.tell();
  }
}

/** Some time, or until the browser says that there is a network again. */
function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      window.clearTimeout(timer);
      window.removeEventListener("online", end);
      resolve();
    };
    const timer = window.setTimeout(end, milliseconds);
    window.addEventListener("online", end);
  });
}

function unlessUnfinished(error: unknown): null {
  if (error instanceof api.ApiError && error.status === 409) return null;
  throw error;
}

/** A piece in the making after an event of its job that does not end it. */
export function told(piece: Piece, event: JobEvent): Piece {
  if (event.event === "again") return emptied(piece);
  // the events for the end of a job bring more than its state
  if (event.event === "state") return { ...piece, status: event.status === "queued" ? "queued" : "running" };
  if (event.event === "notes" && event.take === piece.take) return { ...withStreamed(piece, event.notes), status: "running" };
  // the take was stuck and is composed again
  if (event.event === "progress" && event.take === piece.take && event.notes === 0) return emptied(piece);
  return piece;
}

/** The piece without the notes that were told of it. */
function emptied(piece: Piece): Piece {
  return { ...piece, tracks: [], seconds: 0 };
}

export function isGoing(piece: Piece): boolean {
  return piece.status === "queued" || piece.status === "running";
}
