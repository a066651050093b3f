/** Files of a piece or of one of its tracks: downloaded, or dragged out of the window. */

import * as api from "../api";
import type { App } from "../app";
import { writeMidi } from "../music/midi-file";
import type { Piece, Track } from "../music/piece";
import { isGoing } from "../work";
import { h, icon } from "./dom";

const FILES: readonly (readonly [api.TakeFile, string, string])[] = [
  ["midi", "MIDI", "mid"],
  ["musicxml", "MusicXML", "musicxml"],
  ["wav", "WAV", "wav"],
];
const REVOKE_MS = 60_000;
const NAME_LENGTH = 60;

/** A file name made of the prompt's words. */
export function fileName(piece: Piece, ending: string, part = ""): string {
  const words = `${piece.prompt} ${piece.job === null ? "" : piece.take + 1} ${part}`.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return `${words.join("-").slice(0, NAME_LENGTH) || "piece"}.${ending}`;
}

export function makeDownloads(app: App): { element: HTMLElement; render(): void } {
  const buttons = FILES.map(([file, label, ending]) => {
    const onclick = (): void => void (app.store.shown !== null && download(app, app.store.shown, file, ending));
    return [file, h("button", { type: "button", onclick, data: { file } }, label)] as const;
  });
  const handle = h("div", { className: "drag-out", draggable: true, title: "Drag the whole piece out as a MIDI file" }, icon("grip"), "drag .mid");
  handle.addEventListener("dragstart", (event) => {
    const piece = app.store.shown;
    if (piece !== null) dragOut(event, wholeUrl(app, piece), fileName(piece, "mid"));
  });
  const element = h("div", { className: "downloads", aria: { label: "Download" } }, icon("down"), ...buttons.map(([, button]) => button), handle);
  element.setAttribute("role", "group");
  return {
    element,
    render: () => {
      const piece = app.store.shown;
      const ready = piece !== null && !isGoing(piece) && app.store.tracksOf(piece).length > 0;
      const own = piece !== null && (piece.job === null || app.store.isEdited(piece));
      for (const [file, button] of buttons) {
        button.disabled = !ready || (own && file !== "midi");
        button.title = own && file !== "midi" ? "The service makes this of its own takes; yours is edited by hand" : "";
      }
      handle.hidden = !ready;
    },
  };
}

async function download(app: App, piece: Piece, file: api.TakeFile, ending: string): Promise<void> {
  if (file === "midi" && (piece.job === null || app.store.isEdited(piece))) {
    save(midiBlob(piece, app.store.tracksOf(piece)), fileName(piece, ending));
    return;
  }
  const path = `${api.takePath(piece.job ?? "", piece.take)}/${file}`;
  const blob = await app.work.attempt(async () => (await api.request(path)).blob());
  if (blob !== null) save(blob, fileName(piece, ending));
}

function save(blob: Blob, name: string): void {
  h("a", { href: lent(blob), download: name }).click();
}

/** An address for a blob, taken back after a while. */
function lent(blob: Blob): string {
  const url = URL.createObjectURL(blob);
  window.setTimeout(() => URL.revokeObjectURL(url), REVOKE_MS);
  return url;
}

function midiBlob(piece: Piece, tracks: readonly Track[]): Blob {
  return new Blob([writeMidi({ ...piece, tracks })], { type: "audio/midi" });
}

/** The service's own file where it can be had without a key, else one written here. */
function wholeUrl(app: App, piece: Piece): string {
  if (piece.job !== null && !app.store.isEdited(piece) && api.apiKey() === null) {
    return `${location.origin}${api.takePath(piece.job, piece.take)}/midi`;
  }
  return lent(midiBlob(piece, app.store.tracksOf(piece)));
}

/** Starts dragging one track as a MIDI file. */
export function dragStem(app: App, event: DragEvent, piece: Piece, track: number): void {
  const stem = app.store.tracksOf(piece)[track];
  if (stem !== undefined) dragOut(event, lent(midiBlob(piece, [stem])), fileName(piece, "mid", stem.name));
}

function dragOut(event: DragEvent, url: string, name: string): void {
  event.dataTransfer?.setData("DownloadURL", `audio/midi:${name}:${url}`);
  event.dataTransfer?.setData("text/uri-list", url);
}
