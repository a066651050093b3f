/** Music without a browser: grid, MIDI files, edits by hand, what is seen where. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { addNote, deleteNotes, moveNotes, stretchNotes } from "../../src/music/editing";
import { makeGrid } from "../../src/music/grid";
import { DRUMS, instrumentName } from "../../src/music/instruments";
import { channelOf, variable, writeMidi } from "../../src/music/midi-file";
import { readMidi } from "../../src/music/midi-reader";
import { firstFrom, type Note, type Track } from "../../src/music/piece";
import { noteAt, notesIn } from "../../src/roll/hit";
import { fit, pitchOf, scroll, secondsOf, xOf, yOf, zoomPitch, zoomTime, type Viewport } from "../../src/roll/viewport";

const VIEW: Viewport = { left: 0, perSecond: 50, top: 90, perPitch: 8, width: 800, height: 500 };

/** Repeatable numbers from 0 to 1. */
function numbers(seed: number): () => number {
  return () => (seed = (seed * 48271) % 2147483647) / 2147483647;
}

function note(start: number, pitch: number, duration = 0.5, velocity = 90): Note {
  return { start, duration, pitch, velocity };
}

function track(instrument: number, ...notes: Note[]): Track {
  return { name: instrumentName(instrument), instrument, notes };
}

test("bars follow tempo and metre", () => {
  const plain = makeGrid({ tempos: [[0, 120]], metres: [[0, 4, 4]] }, 8);
  assert.deepEqual(plain.bars, [0, 2, 4, 6, 8]);
  const waltz = makeGrid({ tempos: [[0, 60], [3, 120]], metres: [[0, 3, 4]] }, 6);
  assert.deepEqual(waltz.bars, [0, 3, 4.5, 6]);
  const changing = makeGrid({ tempos: [[0, 60]], metres: [[0, 4, 4], [4, 6, 8]] }, 10);
  assert.deepEqual(changing.bars, [0, 4, 7, 10]);
  assert.equal(changing.barAt(6.9), 1);
  assert.equal(changing.barAt(99), 2);
  assert.equal(plain.snap(0.3), 0.25);
});

test("seconds and quarters are each other's inverse", () => {
  const next = numbers(7);
  for (let round = 0; round < 200; round++) {
    const tempos = [0, 1 + next() * 3, 5 + next() * 9].map((time) => [time, 40 + next() * 160] as const);
    const grid = makeGrid({ tempos, metres: [] }, 10);
    const seconds = next() * 20;
    assert.ok(Math.abs(grid.secondsAt(grid.quarterAt(seconds)) - seconds) < 1e-9);
  }
});

test("a written MIDI file reads back as what it was", () => {
  const next = numbers(3);
  for (let round = 0; round < 50; round++) {
    const tempos = [[0, 60 + Math.round(next() * 120)] as const, [4, 60 + Math.round(next() * 120)] as const];
    const instruments = [Math.floor(next() * 64), 64 + Math.floor(next() * 64), DRUMS];
    const tracks = instruments.map((instrument) => {
      const notes = Array.from({ length: 12 }, (_, at) => note(at * 0.6 + next() * 0.05, 30 + Math.floor(next() * 60), 0.2 + next() * 0.3, 1 + Math.floor(next() * 126)));
      return track(instrument, ...notes);
    });
    const found = readMidi(writeMidi({ tempos, metres: [[0, 3, 4]], tracks }));
    assert.deepEqual(found.metres, [[0, 3, 4]]);
    assert.deepEqual(found.tracks.map((one) => [one.name, one.instrument]), tracks.map((one) => [one.name, one.instrument]));
    found.tracks.forEach((one, index) =>
      one.notes.forEach((read, at) => {
        const wrote = tracks[index]?.notes[at];
        assert.ok(wrote !== undefined && Math.abs(read.start - wrote.start) < 0.003 && Math.abs(read.duration - wrote.duration) < 0.005);
        assert.deepEqual([read.pitch, read.velocity], [wrote.pitch, wrote.velocity]);
      }),
    );
  }
});

test("bytes that are no MIDI file are refused, whatever they are", () => {
  const good = writeMidi({ tempos: [], metres: [], tracks: [track(0, note(0, 60))] });
  assert.throws(() => readMidi(new Uint8Array([1, 2, 3])), RangeError);
  assert.throws(() => readMidi(new Uint8Array(20)), RangeError);
  for (let length = 0; length < good.length; length++) {
    try {
      readMidi(good.slice(0, length));
    } catch (error) {
      assert.ok(error instanceof RangeError, `${length} bytes: ${String(error)}`);
    }
  }
});

test("lengths in seven-bit bytes, and the channel of drums", () => {
  assert.deepEqual([0, 127, 128, 0x1fffff].map(variable), [[0], [127], [129, 0], [255, 255, 127]]);
  const many = [DRUMS, ...Array.from({ length: 16 }, (_, at) => at)].map((instrument) => track(instrument));
  assert.equal(channelOf(many, 0), 9);
  assert.ok(many.slice(1).every((_, at) => channelOf(many, at + 1) !== 9));
});

test("notes are moved within the piece and the pitches of MIDI", () => {
  const tracks = [track(0, note(0, 126), note(1, 60)), track(33, note(0, 40))];
  const moved = moveNotes(tracks, [[0, 0], [0, 1]], -1, 5);
  assert.deepEqual(moved.tracks[0]?.notes.map((one) => [one.start, one.pitch]), [[0, 127], [1, 61]]);
  assert.equal(moved.tracks[1], tracks[1], "other tracks stay the same object");
  const crossed = moveNotes(tracks, [[0, 0]], 2, 0);
  assert.deepEqual(crossed.notes, [[0, 1]], "a note that moves past another stays selected");
});

test("notes are stretched, added and deleted", () => {
  const tracks = [track(0, note(0, 60), note(2, 62))];
  assert.ok((stretchNotes(tracks, [[0, 0]], -9).tracks[0]?.notes[0]?.duration ?? 0) > 0);
  const added = addNote(tracks, 0, note(1, 64));
  assert.deepEqual([added.notes, added.tracks[0]?.notes.map((one) => one.pitch)], [[[0, 1]], [60, 64, 62]]);
  assert.deepEqual(deleteNotes(added.tracks, added.notes).tracks, tracks);
});

test("a note is found where it is drawn", () => {
  const next = numbers(11);
  for (let round = 0; round < 100; round++) {
    const one = note(next() * 10, 40 + Math.floor(next() * 40), 0.3);
    const [x, y] = [xOf(VIEW, one.start + 0.1), yOf(VIEW, one.pitch) + 3];
    assert.deepEqual(noteAt(VIEW, [track(0, one)], null, x, y)?.note, [0, 0]);
    assert.equal(pitchOf(VIEW, y), one.pitch);
    assert.ok(Math.abs(secondsOf(VIEW, xOf(VIEW, one.start)) - one.start) < 1e-9);
    assert.deepEqual(notesIn(VIEW, [track(0, one)], 1, [0, 0, 800, 500]), []);
    assert.deepEqual(notesIn(VIEW, [track(0, one)], null, [x - 2, y - 2, x + 2, y + 2]), [[0, 0]]);
  }
});

test("zooming holds what is under the pointer, and nothing leaves the piece", () => {
  const zoomed = zoomTime(VIEW, 2, 400, 60);
  assert.ok(Math.abs(secondsOf(zoomed, 400) - secondsOf(VIEW, 400)) < 1e-9);
  const taller = zoomPitch(VIEW, 1.5, 200, 60);
  assert.ok(Math.abs(taller.top - (200 - 28) / taller.perPitch - (VIEW.top - (200 - 28) / VIEW.perPitch)) < 1e-9);
  assert.equal(scroll(VIEW, -1000, 0, 60).left, 0);
  assert.ok(scroll(VIEW, 1e6, 0, 60).left < 60);
  const all = fit(VIEW, [track(0, note(0, 50), note(58, 80, 2))], 60);
  assert.ok(xOf(all, 60) <= VIEW.width && yOf(all, 80) > 28 && yOf(all, 50) + all.perPitch < VIEW.height);
});

test("the first note to be played is found", () => {
  const notes = [0, 1, 1, 2].map((start) => note(start, 60));
  assert.deepEqual([-1, 0, 0.5, 1, 2, 3].map((seconds) => firstFrom(notes, seconds)), [0, 0, 1, 1, 3, 4]);
});

