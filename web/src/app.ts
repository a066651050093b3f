/** What every part of the studio is handed, and the deeds that several parts share. */

import type { History } from "./history";
import { makeGrid, type Grid } from "./music/grid";
import { lengthOf, soundEnd, type Piece, type Track } from "./music/piece";
import type { Edited } from "./music/editing";
import type { Player } from "./sound/player";
import { stripKey, type Store, type Strip } from "./store";
import type { Work } from "./work";

export interface App {
  readonly store: Store;
  readonly work: Work;
  readonly player: Player;
  readonly history: History;
}

export function changeStrip(app: App, piece: Piece, track: number, patch: Partial<Strip>, label = ""): void {
  const { mixes } = app.store.document;
  const strip = { ...app.store.strip(piece, track), ...patch };
  app.store.change({ mixes: { ...mixes, [piece.id]: { ...mixes[piece.id], [stripKey(piece, track)]: strip } } }, label);
}

/** Makes edited notes the piece's own; a step that can be undone. */
export function applyEdit(app: App, piece: Piece, edited: Edited, label = ""): void {
  const { edits } = app.store.document;
  app.store.change({ edits: { ...edits, [piece.id]: edited.tracks }, notes: edited.notes }, label);
}

/** The levels that the mix gives the tracks: 0 where muted, or where another is solo. */
export function levels(store: Store, piece: Piece): number[] {
  const strips = store.tracksOf(piece).map((_, track) => store.strip(piece, track));
  const someSolo = strips.some((strip) => strip.solo);
  return strips.map((strip) => (strip.mute || (someSolo && !strip.solo) ? 0 : strip.volume));
}

interface Measured {
  readonly piece: Piece;
  readonly tracks: readonly Track[];
  readonly grid: Grid;
  readonly end: number;
}
let measured: Measured | null = null;

function measure(store: Store, piece: Piece): Measured {
  const tracks = store.tracksOf(piece);
  if (measured === null || measured.piece !== piece || measured.tracks !== tracks) {
    const end = soundEnd(tracks);
    measured = { piece, tracks, grid: makeGrid(piece, Math.max(lengthOf(piece), end)), end };
  }
  return measured;
}

/** The bars of a piece, long enough for its edited notes. */
export function gridOf(store: Store, piece: Piece): Grid {
  return measure(store, piece).grid;
}

/** Where a piece ends, in seconds: where it was composed to, or the last note that was added ends. */
export function endOfSound(store: Store, piece: Piece): number {
  return Math.max(piece.seconds, measure(store, piece).end);
}
