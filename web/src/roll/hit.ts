/** Which notes are under the pointer, or within a marquee. Pure. */

import type { Track } from "../music/piece";
import type { NoteRef } from "../store";
import { xOf, yOf, type Viewport } from "./viewport";

/** Pixels at a note's right end that stretch it. */
const EDGE = 6;

export interface Hit {
  readonly note: NoteRef;
  readonly edge: boolean;
}

/** The topmost note at a point; the active track is above the others. */
export function noteAt(view: Viewport, tracks: readonly Track[], active: number | null, x: number, y: number): Hit | null {
  const order = tracks.map((_, track) => track).reverse();
  if (active !== null) order.unshift(active);
  for (const track of order) {
    const notes = tracks[track]?.notes ?? [];
    for (let at = notes.length - 1; at >= 0; at--) {
      const note = notes[at];
      if (note === undefined) continue;
      const [left, top] = [xOf(view, note.start), yOf(view, note.pitch)];
      const right = left + Math.max(4, note.duration * view.perSecond);
      if (y >= top && y < top + view.perPitch && x >= left - 1 && x <= right) {
        return { note: [track, at], edge: x > right - Math.min(EDGE, (right - left) / 3) };
      }
    }
  }
  return null;
}

/** The notes that a rectangle touches, of one track or of all. */
export function notesIn(
  view: Viewport,
  tracks: readonly Track[],
  active: number | null,
  [fromX, fromY, toX, toY]: readonly [number, number, number, number],
): NoteRef[] {
  const [left, right] = [Math.min(fromX, toX), Math.max(fromX, toX)];
  const [top, bottom] = [Math.min(fromY, toY), Math.max(fromY, toY)];
  const found: NoteRef[] = [];
  tracks.forEach((track, index) => {
    if (active !== null && active !== index) return;
    track.notes.forEach((note, at) => {
      const y = yOf(view, note.pitch);
      const meets = xOf(view, note.start) <= right && xOf(view, note.start + note.duration) >= left;
      if (meets && y <= bottom && y + view.perPitch >= top) found.push([index, at]);
    });
  });
  return found;
}
