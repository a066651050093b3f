/** Files of a piece or of one of its tracks: downloaded, or dragged out of the window. */

import * as api from "../api";
import type { App } from "../app";
import { writeMidi } from "../music/midi-file";
import type { Piece, Track } from "../music/piece";
import { isGoing } from "../work";
import { h, icon } from "./dom";

const FILES: readonly (readonly [api.PieceFile, string, string])[] = [
  ["midi", "MIDI", "mid"],
  ["musicxml", "MusicXML", "musicxml"],
  ["wav", "WAV", "wav"],
];
const REVOKE_MS = 60_000;
const NAME_LENGTH = 60;

/** A file name made of the prompt's words, the take, and what part of it the file has. */
export function fileName(piece: Piece, ending: string, part = ""): string {
  const take = piece.job === null ? "" : String(piece.take + 1);
  const name = [dashed(piece.prompt).slice(0, NAME_LENGTH).replace(/-$/, ""), take, dashed(part)].filter((one) => one !== "").join("-");
  return `${name || "piece"}.${ending}`;
}

function dashed(text: string): string {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join("-");
}

export function makeDownloads(app: App): { element: HTMLElement; render(): void } {
  /** Files that are being made or fetched. */
  const waiting = new Set<api.PieceFile>();
  const buttons = FILES.map(([file, label, ending]) => {
    const onclick = async (): Promise<void> => {
      const piece = app.store.shown;
      if (piece === null) return;
      waiting.add(file);
      app.store.tell();
      await download(app, piece, file, ending);
      waiting.delete(file);
      app.store.tell();
    };
    return [file, h("button", { type: "button", onclick: () => void onclick(), data: { file } }, label)] as const;
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
      for (const [file, button] of buttons) {
        const isHere = file === "midi" && piece !== null && isOwn(app, piece);
        button.disabled = !ready || waiting.has(file) || (!app.work.online && !isHere);
        button.setAttribute("aria-busy", String(waiting.has(file)));
      }
      handle.hidden = !ready;
    },
  };
}

async function download(app: App, piece: Piece, file: api.PieceFile, ending: string): Promise<void> {
  if (file === "midi" && isOwn(app, piece)) {
    save(midiBlob(piece, app.store.tracksOf(piece)), fileName(piece, ending));
    return;
  }
  const response = await app.work.file(piece, file);
  if (response !== null) save(await response.blob(), fileName(piece, ending));
}

/** Opened or edited by hand: its MIDI file is written here. */
function isOwn(app: App, piece: Piece): boolean {
  return piece.job === null || app.store.isEdited(piece);
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

/** The service's own file where it can be had, and without a key; else one written here. */
function wholeUrl(app: App, piece: Piece): string {
  if (piece.job !== null && !isOwn(app, piece) && app.work.online && api.apiKey() === null) {
    return `${location.origin}${api.takePath(piece.job, piece.take)}/midi`;
  }
  return lent(midiBlob(piece, app.store.tracksOf(piece)));
}

/** Downloads one track as a MIDI file. */
export function saveStem(app: App, piece: Piece, track: number): void {
  const stem = app.store.tracksOf(piece)[track];
  if (stem !== undefined) save(midiBlob(piece, [stem]), fileName(piece, "mid", stem.name));
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
