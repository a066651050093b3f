/** Opens a MIDI file of the user's as a piece. */

import type { App } from "./app";
import { readMidi } from "./music/midi-reader";
import { soundEnd } from "./music/piece";

export async function openFile(app: App, input: HTMLInputElement): Promise<void> {
  const file = input.files?.[0];
  input.value = "";
  if (file === undefined) return;
  try {
    const music = readMidi(new Uint8Array(await file.arrayBuffer()));
    const piece = {
      ...music, id: `file/${crypto.randomUUID()}`, job: null, take: 0, kind: "file", prompt: file.name.replace(/\.midi?$/i, ""),
      seed: null, parent: null, created: Date.now(), status: "done" as const, problem: "", seconds: soundEnd(music.tracks), expected: 0, about: null,
    };
    app.store.put(piece);
    app.history.save(piece);
    app.store.show(piece.id);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    app.work.problem = `${file.name} cannot be read: ${error.message}`;
    app.store.tell();
  }
}
