/** A canned band, made by rule: so many bars of drums, bass, piano, strings and a tune, in A minor at 112 bpm. */

import type { NotesBody } from "../../src/api";

export const BPM = 112;
const BEAT = 60 / BPM;
const BAR = 4 * BEAT;
const CHORDS = [[57, 60, 64], [53, 57, 60], [60, 64, 67], [55, 59, 62]];
const TUNE = [0, 2, 1, 2, 0, 1, 2, 1];

type Row = [number, number, number, number];

/** `shift` transposes the piece, so that takes differ. */
export function music(bars: number, shift = 0): NotesBody {
  const [drums, bass, piano, strings, lead]: Row[][] = [[], [], [], [], []];
  for (let bar = 0; bar < bars; bar++) {
    const at = bar * BAR;
    const chord = (CHORDS[bar % 4] ?? []).map((pitch) => pitch + shift);
    const root = (chord[0] ?? 57) - 24;
    for (let step = 0; step < 8; step++) {
      const time = at + (step * BEAT) / 2;
      drums?.push([time, 0.1, 42, step % 2 === 0 ? 84 : 56]);
      if (step % 4 === 0) drums?.push([time, 0.1, 36, 108]);
      if (step % 4 === 2) drums?.push([time, 0.1, 38, 98]);
      bass?.push([time, BEAT * 0.45, root + (step === 6 ? 7 : 0), 88 + (step % 3) * 8]);
      if ((bar + step) % 3 !== 0) {
        const pitch = (chord[(TUNE[step] ?? 0) % 3] ?? 60) + 12 + (bar % 4 === 3 && step > 5 ? 2 : 0);
        lead?.push([time, BEAT * (step === 7 ? 0.9 : 0.45), pitch, 70 + ((bar * 7 + step * 5) % 40)]);
      }
    }
    for (const half of [0, 2, 3]) for (const pitch of chord) piano?.push([at + half * BEAT, BEAT * (half === 0 ? 1.8 : 0.9), pitch, 66 + half * 6]);
    for (const pitch of chord) strings?.push([at, BAR * 0.98, pitch + 12, 52]);
  }
  const track = (name: string, instrument: number, notes: Row[] = []): NotesBody["tracks"][number] => ({ name, instrument, notes });
  return {
    seconds: bars * BAR,
    tempos: [[0, BPM]],
    metres: [[0, 4, 4]],
    tracks: [
      track("Acoustic Grand Piano", 0, piano), track("Electric Bass (finger)", 33, bass), track("String Ensemble 1", 48, strings),
      track("Clarinet", 71, lead), track("Drums", 128, drums),
    ],
  };
}

/** A score of a few bars for the staff view. */
export function score(): string {
  const note = (step: string, octave: number): string =>
    `<note><pitch><step>${step}</step><octave>${octave}</octave></pitch><duration>1</duration><type>quarter</type></note>`;
  const bars = [["A", "C", "E", "C"], ["F", "A", "C", "A"], ["C", "E", "G", "E"], ["G", "B", "D", "B"]];
  const measures = bars.map((steps, at) => {
    const attributes = at > 0 ? "" : "<attributes><divisions>1</divisions><key><fifths>0</fifths></key><time><beats>4</beats><beat-type>4</beat-type></time><clef><sign>G</sign><line>2</line></clef></attributes>";
    return `<measure number="${at + 1}">${attributes}${steps.map((step) => note(step, 4)).join("")}</measure>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?><score-partwise version="4.0"><part-list><score-part id="P1"><part-name>Clarinet</part-name></score-part></part-list><part id="P1">${measures.join("")}</part></score-partwise>`;
}

/** Half a second of silence, 16-bit mono at 8 kHz. */
export function wav(): Buffer {
  const data = 8000;
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + data, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8000, 24);
  head.writeUInt32LE(16000, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(data, 40);
  return Buffer.concat([head, Buffer.alloc(data)]);
}
