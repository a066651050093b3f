/** A piece of music as the studio holds it: tracks of notes in seconds, tempos, metres, and where it came from. */

import type { JobStatus, NotesBody, Take } from "../api";
import type { StreamedNote } from "../events";
import { instrumentName } from "./instruments";

export interface Note {
  readonly start: number;
  readonly duration: number;
  readonly pitch: number;
  readonly velocity: number;
}
export interface Track {
  readonly name: string;
  readonly instrument: number;
  readonly notes: readonly Note[];
}
export interface Piece {
  /** "job/take", or "file/…" for an opened file. */
  readonly id: string;
  readonly job: string | null;
  readonly take: number;
  readonly kind: string;
  readonly prompt: string;
  readonly seed: number | null;
  readonly parent: string | null;
  readonly created: number;
  readonly status: JobStatus;
  readonly problem: string;
  readonly seconds: number;
  /** How long a piece in the making will be, as far as is known. */
  readonly expected: number;
  readonly tempos: readonly (readonly [number, number])[];
  readonly metres: readonly (readonly [number, number, number])[];
  readonly tracks: readonly Track[];
  readonly about: Take | null;
}

export function pieceId(job: string, take: number): string {
  return `${job}/${take}`;
}

export function noteCount(tracks: readonly Track[]): number {
  return tracks.reduce((sum, track) => sum + track.notes.length, 0);
}

/** How long a piece is, or is going to be. */
export function lengthOf(piece: Piece): number {
  return piece.status === "queued" || piece.status === "running" ? Math.max(piece.expected, piece.seconds) : piece.seconds;
}

/** Where the last note ends, in seconds. */
export function soundEnd(tracks: readonly Track[]): number {
  let end = 0;
  for (const track of tracks) for (const note of track.notes) end = Math.max(end, note.start + note.duration);
  return end;
}

export function withNotesBody(piece: Piece, body: NotesBody): Piece {
  return {
    ...piece,
    seconds: body.seconds,
    tempos: body.tempos,
    metres: body.metres,
    tracks: body.tracks.map((track) => ({
      name: track.name || instrumentName(track.instrument),
      instrument: track.instrument,
      notes: track.notes
        .map(([start, duration, pitch, velocity]) => ({ start, duration, pitch, velocity }))
        .sort(byStart),
    })),
  };
}

/** The piece with notes that have just been composed; each instrument is a track. */
export function withStreamed(piece: Piece, streamed: readonly StreamedNote[]): Piece {
  const tracks = [...piece.tracks];
  for (const [start, duration, instrument, pitch, velocity] of streamed) {
    let at = tracks.findIndex((track) => track.instrument === instrument);
    if (at < 0) at = tracks.push({ name: instrumentName(instrument), instrument, notes: [] }) - 1;
    const track = tracks[at];
    if (track !== undefined) tracks[at] = { ...track, notes: [...track.notes, { start, duration, pitch, velocity }] };
  }
  return { ...piece, tracks, seconds: Math.max(piece.seconds, soundEnd(tracks)) };
}

export function byStart(left: Note, right: Note): number {
  return left.start - right.start || left.pitch - right.pitch;
}

/** Index of the first note that starts at a time or later; the notes are in order of their starts. */
export function firstFrom(notes: readonly Note[], seconds: number): number {
  let low = 0;
  let high = notes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((notes[middle]?.start ?? 0) < seconds) low = middle + 1;
    else high = middle;
  }
  return low;
}
