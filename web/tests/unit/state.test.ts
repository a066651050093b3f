/** What the studio knows: undo and redo, streamed notes, the tree of takes, events read from a stream. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Take } from "../../src/api";
import { readMessage } from "../../src/events";
import { lengthOf, noteCount, withStreamed, type Piece } from "../../src/music/piece";
import { PLAIN_STRIP, Store, stripKey } from "../../src/store";
import { fileName } from "../../src/view/downloads";
import { describe } from "../../src/view/takes";
import { grow } from "../../src/view/tree";
import { told } from "../../src/work";

function piece(job: string, take = 0, parent: string | null = null, created = 0): Piece {
  return {
    id: `${job}/${take}`, job, take, kind: "compose", prompt: job, seed: 1, parent, created, status: "running", problem: "",
    seconds: 0, expected: 0, tempos: [], metres: [], tracks: [], about: null,
  };
}

test("every change is undone and redone, and a new one ends the redoing", () => {
  const store = new Store();
  store.change({ prompt: "a" });
  store.change({ takes: 4 });
  store.undo();
  assert.deepEqual([store.document.prompt, store.document.takes, store.canRedo], ["a", 2, true]);
  store.redo();
  assert.equal(store.document.takes, 4);
  store.undo();
  store.change({ seed: 5 });
  assert.equal(store.canRedo, false);
  store.undo();
  store.undo();
  assert.deepEqual([store.document.prompt, store.canUndo], ["", false]);
});

test("quick changes with one label are one step, selecting is none", () => {
  const store = new Store();
  for (const prompt of ["a", "ab", "abc"]) store.change({ prompt }, "prompt");
  store.select({ track: 1 });
  store.undo();
  assert.equal(store.document.prompt, "");
  assert.equal(store.canUndo, false);
});

test("a piece takes over the mix of its parent, instrument by instrument", () => {
  const store = new Store();
  const parent = withStreamed(piece("a"), [[0, 1, 0, 60, 90], [0, 1, 33, 36, 90]]);
  const child = withStreamed(piece("b", 0, "a/0"), [[0, 1, 33, 36, 90], [0, 1, 73, 80, 90]]);
  for (const one of [parent, child]) store.put(one);
  store.change({ mixes: { "a/0": { [stripKey(parent, 1)]: { ...PLAIN_STRIP, mute: true } } } });
  assert.deepEqual([store.strip(child, 0).mute, store.strip(child, 1).mute], [true, false]);
});

test("streamed notes gather in a track for each instrument", () => {
  const begun = withStreamed(piece("a"), [[0, 1, 0, 60, 90], [0, 0.1, 128, 36, 100]]);
  const more = withStreamed(begun, [[1, 2, 0, 62, 90]]);
  assert.deepEqual(more.tracks.map((track) => [track.instrument, track.notes.length]), [[0, 2], [128, 1]]);
  assert.deepEqual([noteCount(more.tracks), more.seconds], [3, 3]);
  assert.equal(lengthOf({ ...more, expected: 30 }), 30);
  assert.equal(lengthOf({ ...more, expected: 30, status: "done" }), 3);
});

test("what a job tells of a take is in its piece, until it is told anew", () => {
  const notes = told(piece("a"), { event: "notes", take: 0, notes: [[0, 1, 0, 60, 90]] });
  assert.equal(noteCount(notes.tracks), 1);
  assert.equal(told(notes, { event: "progress", take: 0, seconds: 1, notes: 1 }), notes);
  assert.equal(told(notes, { event: "progress", take: 1, seconds: 0, notes: 0 }), notes, "another take is stuck");
  assert.deepEqual(told(notes, { event: "progress", take: 0, seconds: 0, notes: 0 }), piece("a"), "stuck");
  assert.deepEqual(told(notes, { event: "again" }), piece("a"));
  assert.equal(told(notes, { event: "state", status: "queued" }).status, "queued");
});

test("a wish that cannot be measured does not count", () => {
  const found = (met: boolean | null): Take["findings"][number] => ({ wish: "tempo", asked: "112", found: "", met });
  const about = { index: 0, seed: 1, seconds: 65, tempo: 112, metre: "4/4", key: null, notes: 9, instruments: [] };
  const words = (...met: (boolean | null)[]): string =>
    describe({ ...piece("a"), status: "done", seconds: 65, about: { ...about, findings: met.map(found) } }, []);
  assert.deepEqual([words(true, false, null), words(null)], ["1:05.0 · 1/2 wishes", "1:05.0"]);
});

test("forgetting takes a piece out of the library, and undo puts it back", () => {
  const store = new Store();
  for (const one of [piece("a"), piece("b")]) store.put(one);
  store.change({ shown: "a/0" });
  store.forget(["a/0"]);
  assert.deepEqual([store.remembered.map(({ id }) => id), store.shown], [["b/0"], null]);
  store.undo();
  assert.deepEqual([store.remembered.length, store.shown?.id], [2, "a/0"]);
});

test("takes of one request are together, and hang under what they came from", () => {
  const pieces = [piece("new", 1, null, 9), piece("new", 0, null, 9), piece("old"), piece("child", 0, "new/1", 10), piece("orphan", 0, "gone/0", 1)];
  const roots = grow(pieces);
  assert.deepEqual(roots.map((branch) => branch.pieces.map((one) => one.id)), [["new/0", "new/1"], ["orphan/0"], ["old/0"]]);
  assert.deepEqual(roots[0]?.children.map((branch) => branch.pieces[0]?.id), ["child/0"]);
});

test("files are called after the prompt, the take and the part, however long the prompt", () => {
  const long = { ...piece("a", 1), prompt: "A very, very long song ".repeat(9) };
  assert.equal(fileName(piece("A song!"), "mid"), "a-song-1.mid");
  assert.match(fileName(long, "mid", "Drums"), /^a-very-.{50,53}[a-z]-2-drums\.mid$/);
  assert.equal(fileName({ ...piece(""), job: null, prompt: "?" }, "wav"), "piece.wav");
});

test("a block of an event stream is read", () => {
  assert.deepEqual(readMessage('id: x.3\nevent: notes\ndata: {"take":0}'), { id: "x.3", event: "notes", data: '{"take":0}' });
  assert.deepEqual(readMessage("data: a\ndata: b"), { id: "", event: "message", data: "a\nb" });
  assert.equal(readMessage(": keep-alive"), null);
});
