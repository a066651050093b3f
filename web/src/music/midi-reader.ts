/** Reads a standard MIDI file into tracks of notes in seconds. Raises `RangeError` for bytes that are none. */

import { DRUMS, instrumentName } from "./instruments";
import { byStart, type Note, type Track } from "./piece";

const DRUM_CHANNEL = 9;
const PLAIN_MICROS = 500_000;

interface Music {
  tempos: [number, number][];
  metres: [number, number, number][];
  tracks: Track[];
}
interface Raw {
  readonly tick: number;
  readonly status: number;
  readonly data: Uint8Array;
  readonly meta: number;
}

export function readMidi(bytes: Uint8Array): Music {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 14 || letters(bytes, 0) !== "MThd") throw new RangeError("it does not begin as a MIDI file does");
  const division = view.getUint16(12);
  if (division === 0 || division >= 0x8000) throw new RangeError("its times are in frames, not in beats");
  const chunks: Raw[][] = [];
  for (let at = 8 + view.getUint32(4); at + 8 <= bytes.length; at += 8 + view.getUint32(at + 4)) {
    if (letters(bytes, at) === "MTrk") chunks.push(readChunk(bytes.subarray(at + 8, at + 8 + view.getUint32(at + 4))));
  }
  const clock = makeClock(chunks.flat(), division);
  const metas = chunks.flat().sort((left, right) => left.tick - right.tick);
  return {
    tempos: metas.filter((event) => event.meta === 0x51).map((event) => [clock(event.tick), 60_000_000 / micros(event)]),
    metres: metas.filter((event) => event.meta === 0x58).map((event) => [clock(event.tick), event.data[0] ?? 4, 2 ** (event.data[1] ?? 2)]),
    tracks: chunks.flatMap((chunk) => parts(chunk, clock)),
  };
}

function letters(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

function micros(event: Raw): number {
  return ((event.data[0] ?? 0) << 16) | ((event.data[1] ?? 0) << 8) | (event.data[2] ?? 0);
}

function readChunk(bytes: Uint8Array): Raw[] {
  const events: Raw[] = [];
  let [at, tick, running] = [0, 0, 0];
  const byte = (): number => {
    const value = bytes[at++];
    if (value === undefined) throw new RangeError("a track breaks off");
    return value;
  };
  const variable = (): number => {
    let [value, next] = [0, 0];
    do value = (value << 7) | ((next = byte()) & 127);
    while (next >= 128);
    return value;
  };
  while (at < bytes.length) {
    tick += variable();
    const status = (bytes[at] ?? 0) >= 0x80 ? byte() : running;
    if (status < 0x80) throw new RangeError("an event has no status");
    if (status < 0xf0) running = status;
    const meta = status === 0xff ? byte() : -1;
    const length = status >= 0xf0 ? variable() : status >> 4 === 0xc || status >> 4 === 0xd ? 1 : 2;
    events.push({ tick, status, meta, data: bytes.subarray(at, at + length) });
    at += length;
  }
  return events;
}

/** Ticks to seconds, through all changes of tempo. */
function makeClock(events: readonly Raw[], division: number): (tick: number) => number {
  const stretches = [{ tick: 0, seconds: 0, perTick: PLAIN_MICROS / 1e6 / division }];
  for (const event of events.filter((one) => one.meta === 0x51).sort((left, right) => left.tick - right.tick)) {
    const before = stretches.at(-1) ?? stretches[0]!;
    const seconds = before.seconds + (event.tick - before.tick) * before.perTick;
    stretches.push({ tick: event.tick, seconds, perTick: micros(event) / 1e6 / division });
  }
  return (tick) => {
    const at = stretches.findLast((stretch) => stretch.tick <= tick) ?? stretches[0]!;
    return at.seconds + (tick - at.tick) * at.perTick;
  };
}

/** The notes of a chunk, a track for each channel and program. */
function parts(events: readonly Raw[], clock: (tick: number) => number): Track[] {
  const name = events.find((event) => event.meta === 3);
  const title = name === undefined ? "" : new TextDecoder().decode(name.data).trim();
  const programs = new Map<number, number>();
  const open = new Map<string, [start: number, velocity: number, instrument: number][]>();
  const found = new Map<number, Note[]>();
  for (const { status, data, tick } of events) {
    const [channel, kind, pitch = 0, velocity = 0] = [status & 15, status >> 4, data[0], data[1]];
    const key = `${channel}/${pitch}`;
    if (kind === 0xc) programs.set(channel, pitch);
    else if (kind === 9 && velocity > 0) {
      const instrument = channel === DRUM_CHANNEL ? DRUMS : (programs.get(channel) ?? 0);
      open.set(key, [...(open.get(key) ?? []), [clock(tick), velocity, instrument]]);
    } else if (kind === 8 || kind === 9) {
      const begun = open.get(key)?.shift();
      if (begun === undefined) continue;
      const [start, loud, instrument] = begun;
      found.set(instrument, [...(found.get(instrument) ?? []), { start, duration: clock(tick) - start, pitch, velocity: loud }]);
    }
  }
  return [...found].map(([instrument, notes]) => ({
    name: (found.size === 1 && title) || instrumentName(instrument), instrument, notes: notes.sort(byStart),
  }));
}
