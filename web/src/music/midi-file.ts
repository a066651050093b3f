/** Writes a piece as a standard MIDI file (format 1): a conductor track, then a track for each part. */

import { makeGrid } from "./grid";
import { DRUMS } from "./instruments";
import type { Piece, Track } from "./piece";

const TICKS = 480;
const DRUM_CHANNEL = 9;
const CHANNELS = 16;

type Event = { tick: number; order: number; bytes: number[] };
type Music = Pick<Piece, "tempos" | "metres" | "tracks">;

export function writeMidi(music: Music): Uint8Array<ArrayBuffer> {
  const grid = makeGrid(music, 0);
  const tick = (seconds: number): number => Math.max(0, Math.round(grid.quarterAt(seconds) * TICKS));
  const chunks = [conductor(music, tick), ...music.tracks.map((track, at) => part(track, channelOf(music.tracks, at), tick))];
  const header = [...text("MThd"), ...word(6), 0, 1, 0, chunks.length, TICKS >> 8, TICKS & 255];
  return Uint8Array.from([...header, ...chunks.flat()]);
}

/** Drums have channel 9; the other tracks share the remaining fifteen in turn. */
export function channelOf(tracks: readonly Track[], at: number): number {
  if (tracks[at]?.instrument === DRUMS) return DRUM_CHANNEL;
  const before = tracks.slice(0, at).filter((track) => track.instrument !== DRUMS).length % (CHANNELS - 1);
  return before < DRUM_CHANNEL ? before : before + 1;
}

function conductor(music: Music, tick: (seconds: number) => number): number[] {
  const events: Event[] = [];
  for (const [time, bpm] of music.tempos) {
    const micros = Math.round(60_000_000 / bpm);
    events.push({ tick: tick(time), order: 0, bytes: [0xff, 0x51, 3, micros >> 16, (micros >> 8) & 255, micros & 255] });
  }
  for (const [time, beats, unit] of music.metres) {
    events.push({ tick: tick(time), order: 0, bytes: [0xff, 0x58, 4, beats, Math.round(Math.log2(unit)), 24, 8] });
  }
  return chunk(events);
}

function part(track: Track, channel: number, tick: (seconds: number) => number): number[] {
  const name = [...new TextEncoder().encode(track.name)];
  const events: Event[] = [{ tick: 0, order: 0, bytes: [0xff, 0x03, ...variable(name.length), ...name] }];
  if (track.instrument !== DRUMS) events.push({ tick: 0, order: 1, bytes: [0xc0 | channel, track.instrument] });
  for (const note of track.notes) {
    const start = tick(note.start);
    const end = Math.max(start + 1, tick(note.start + note.duration));
    events.push({ tick: start, order: 3, bytes: [0x90 | channel, note.pitch, Math.max(1, note.velocity)] });
    events.push({ tick: end, order: 2, bytes: [0x80 | channel, note.pitch, 0] });
  }
  return chunk(events);
}

function chunk(events: Event[]): number[] {
  const body: number[] = [];
  let now = 0;
  for (const event of events.sort((left, right) => left.tick - right.tick || left.order - right.order)) {
    for (const byte of variable(event.tick - now)) body.push(byte);
    for (const byte of event.bytes) body.push(byte);
    now = event.tick;
  }
  body.push(0, 0xff, 0x2f, 0);
  return [...text("MTrk"), ...word(body.length), ...body];
}

function text(letters: string): number[] {
  return [...letters].map((letter) => letter.charCodeAt(0));
}

function word(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** A variable-length quantity: seven bits a byte, the highest bit set on all but the last. */
export function variable(value: number): number[] {
  const bytes = [value & 127];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes.unshift((rest & 127) | 128);
  return bytes;
}
