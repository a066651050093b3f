/** Edits of notes by hand: each takes tracks and selected notes, and gives new ones of both. */

import type { NoteRef } from "../store";
import { byStart, type Note, type Track } from "./piece";

export interface Edited {
  readonly tracks: readonly Track[];
  readonly notes: readonly NoteRef[];
}

const LOWEST = 0;
const HIGHEST = 127;
const SHORTEST_S = 0.03;

/** Applies `change` to the selected notes; the tracks stay sorted, and the notes selected. */
function changeNotes(tracks: readonly Track[], selected: readonly NoteRef[], change: (note: Note) => Note): Edited {
  const notes: NoteRef[] = [];
  const changed = tracks.map((track, index) => {
    const chosen = new Set(selected.filter(([at]) => at === index).map(([, note]) => note));
    if (chosen.size === 0) return track;
    const marked = track.notes.map((note, at) => (chosen.has(at) ? ([change(note), true] as const) : ([note, false] as const)));
    marked.sort(([left], [right]) => byStart(left, right));
    marked.forEach(([, isChosen], at) => isChosen && notes.push([index, at]));
    return { ...track, notes: marked.map(([note]) => note) };
  });
  return { tracks: changed, notes };
}

/** Moves notes by seconds and semitones, as far as all of them stay within the piece and the pitches of MIDI. */
export function moveNotes(tracks: readonly Track[], selected: readonly NoteRef[], seconds: number, semitones: number): Edited {
  const notes = selected.flatMap(([track, at]) => tracks[track]?.notes[at] ?? []);
  const up = clamp(
    semitones,
    LOWEST - Math.min(...notes.map((note) => note.pitch)),
    HIGHEST - Math.max(...notes.map((note) => note.pitch)),
  );
  const later = Math.max(seconds, -Math.min(...notes.map((note) => note.start)));
  return changeNotes(tracks, selected, (note) => ({ ...note, start: note.start + later, pitch: note.pitch + up }));
}

export function stretchNotes(tracks: readonly Track[], selected: readonly NoteRef[], seconds: number): Edited {
  return changeNotes(tracks, selected, (note) => ({ ...note, duration: Math.max(SHORTEST_S, note.duration + seconds) }));
}

export function addNote(tracks: readonly Track[], track: number, note: Note): Edited {
  const added = tracks.map((one, at) => (at === track ? { ...one, notes: [...one.notes, note].sort(byStart) } : one));
  return { tracks: added, notes: [[track, added[track]?.notes.indexOf(note) ?? 0]] };
}

export function deleteNotes(tracks: readonly Track[], selected: readonly NoteRef[]): Edited {
  const gone = new Set(selected.map(([track, at]) => `${track}/${at}`));
  const left = tracks.map((track, index) => ({ ...track, notes: track.notes.filter((_, at) => !gone.has(`${index}/${at}`)) }));
  return { tracks: left, notes: [] };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
