/** What the studio knows: the library of pieces, which only grows, and the document, every change of which can be undone. */

import type { Plan, Wishes } from "./api";
import type { Piece, Track } from "./music/piece";

/** A track's place in the mix. */
export interface Strip {
  readonly mute: boolean;
  readonly solo: boolean;
  /** 0 to 1. */
  readonly volume: number;
}
export const PLAIN_STRIP: Strip = { mute: false, solo: false, volume: 0.8 };

/** A note that is selected, as [track, note] indices. */
export type NoteRef = readonly [number, number];

export interface Document {
  readonly prompt: string;
  readonly wishes: Wishes;
  readonly seconds: number | "auto" | null;
  readonly takes: number;
  readonly seed: number | null;
  /** Id of the piece in the roll. */
  readonly shown: string | null;
  /** Ids of pieces that were taken out of the library. */
  readonly forgotten: readonly string[];
  /** Tracks that were edited by hand, by piece. */
  readonly edits: Readonly<Record<string, readonly Track[]>>;
  /** By piece, then by `stripKey`. */
  readonly mixes: Readonly<Record<string, Readonly<Record<string, Strip>>>>;
  /** First and last selected bar, from 0. */
  readonly bars: readonly [number, number] | null;
  readonly track: number | null;
  readonly notes: readonly NoteRef[];
}

export const EMPTY: Document = {
  prompt: "",
  wishes: {},
  seconds: null,
  takes: 2,
  seed: null,
  shown: null,
  forgotten: [],
  edits: {},
  mixes: {},
  bars: null,
  track: null,
  notes: [],
};

const MOST_STEPS = 200;
/** Changes of the same kind within this time are undone together. */
const TOGETHER_MS = 800;

type Listener = () => void;

export class Store {
  private past: Document[] = [];
  private future: Document[] = [];
  private lastLabel = "";
  private lastTime = 0;
  private readonly listeners = new Set<Listener>();
  private scheduled = false;
  readonly pieces = new Map<string, Piece>();
  /** What the service understood of the prompt as it stands. */
  plan: Plan | null = null;

  constructor(private doc: Document = EMPTY) {}

  get document(): Document {
    return this.doc;
  }
  get canUndo(): boolean {
    return this.past.length > 0;
  }
  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** Changes the document; quick changes with the same non-empty label are one step. */
  change(patch: Partial<Document>, label = ""): void {
    const now = Date.now();
    const joins = label !== "" && label === this.lastLabel && now - this.lastTime < TOGETHER_MS && this.past.length > 0;
    if (!joins) this.past = [...this.past.slice(-MOST_STEPS), this.doc];
    this.future = [];
    this.lastLabel = label;
    this.lastTime = now;
    this.doc = { ...this.doc, ...patch };
    this.tell();
  }

  /** Sets the document that everything starts from. */
  begin(doc: Document): void {
    this.past = [];
    this.goTo(doc);
  }

  /** Changes what is selected, which is no step of its own. */
  select(patch: Pick<Partial<Document>, "bars" | "track" | "notes">): void {
    this.doc = { ...this.doc, ...patch };
    this.tell();
  }

  undo(): void {
    const before = this.past.pop();
    if (before === undefined) return;
    this.future.push(this.doc);
    this.goTo(before);
  }

  redo(): void {
    const after = this.future.pop();
    if (after === undefined) return;
    this.past.push(this.doc);
    this.goTo(after);
  }

  private goTo(doc: Document): void {
    this.doc = doc;
    this.lastLabel = "";
    this.tell();
  }

  put(piece: Piece): void {
    this.pieces.set(piece.id, piece);
    this.tell();
  }

  /** The pieces that are not forgotten. */
  get remembered(): Piece[] {
    return [...this.pieces.values()].filter((piece) => !this.doc.forgotten.includes(piece.id));
  }

  /** Takes pieces out of the library, until this is undone. */
  forget(ids: readonly string[]): void {
    const { shown, forgotten } = this.doc;
    this.show(ids.some((id) => id === shown) ? null : shown, { forgotten: [...forgotten, ...ids] });
  }

  /** Puts a piece into the roll, with nothing of it selected; `patch` belongs to the same step. */
  show(id: string | null, patch: Partial<Document> = {}): void {
    this.change({ ...patch, shown: id, bars: null, track: null, notes: [] });
  }

  /** The piece in the roll, as it was composed. */
  get shown(): Piece | null {
    return this.doc.shown === null ? null : (this.pieces.get(this.doc.shown) ?? null);
  }

  /** The tracks of a piece with the edits made by hand. */
  tracksOf(piece: Piece): readonly Track[] {
    return this.doc.edits[piece.id] ?? piece.tracks;
  }

  /** A piece takes over the mix of the one that it was made from. */
  strip(piece: Piece, track: number): Strip {
    const key = stripKey(piece, track);
    for (let at: Piece | undefined = piece; at !== undefined; at = this.pieces.get(at.parent ?? "")) {
      const strip = this.doc.mixes[at.id]?.[key];
      if (strip !== undefined) return strip;
    }
    return PLAIN_STRIP;
  }

  isEdited(piece: Piece): boolean {
    return this.doc.edits[piece.id] !== undefined;
  }

  subscribe(listener: Listener): void {
    this.listeners.add(listener);
  }

  /** Listeners are called once a frame at most. */
  tell(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    schedule(() => {
      this.scheduled = false;
      for (const listener of this.listeners) listener();
    });
  }
}

/** What a track is known by in the mix: its composed instrument, and the how-manieth of that it is. */
export function stripKey(piece: Piece, track: number): string {
  const instrument = piece.tracks[track]?.instrument;
  const before = piece.tracks.slice(0, track).filter((one) => one.instrument === instrument).length;
  return `${instrument}/${before}`;
}

function schedule(work: () => void): void {
  if (typeof requestAnimationFrame === "function") requestAnimationFrame(work);
  else queueMicrotask(work);
}
