/** The takes of one request side by side, each a small picture that fills as it is composed. */

import type { App } from "../app";
import { lengthOf, noteCount, type Piece, type Track } from "../music/piece";
import { isGoing } from "../work";
import { clock, h, iconButton } from "./dom";
import { instrumentColour, theme } from "./theme";

const WIDTH = 220;
const HEIGHT = 48;

interface Card {
  readonly element: HTMLElement;
  render(piece: Piece, tracks: readonly Track[], chosen: boolean, longest: number): void;
}

export function makeTakes(app: App): { element: HTMLElement; render(): void } {
  const { store } = app;
  const element = h("div", { className: "takes", aria: { label: "Takes" } });
  element.setAttribute("role", "group");
  const cards = new Map<string, Card>();
  return {
    element,
    render: () => {
      const shown = store.shown;
      const siblings = shown === null ? [] : store.remembered.filter((piece) => isSibling(piece, shown));
      const ids = new Set(siblings.map((piece) => piece.id));
      for (const [id, card] of cards) if (!ids.has(id)) card.element.remove(), cards.delete(id);
      const longest = Math.max(4, ...siblings.map(lengthOf));
      for (const piece of siblings) {
        const card = cards.get(piece.id) ?? makeCard(app, piece.id);
        if (!cards.has(piece.id)) cards.set(piece.id, card), element.append(card.element);
        card.render(piece, store.tracksOf(piece), piece.id === shown?.id, longest);
      }
      element.hidden = siblings.length === 0;
    },
  };
}

function isSibling(piece: Piece, shown: Piece): boolean {
  return piece.job === null ? piece.id === shown.id : piece.job === shown.job;
}

function makeCard(app: App, id: string): Card {
  const canvas = h("canvas", { width: WIDTH * 2, height: HEIGHT * 2 });
  const title = h("b");
  const state = h("span", { className: "take-state" });
  const button = h(
    "button",
    { type: "button", className: "take", onclick: () => app.store.show(id) },
    canvas, h("span", { className: "take-line" }, title, state),
  );
  const stop = iconButton("close", "Cancel these takes", () => {
    const job = app.store.pieces.get(id)?.job;
    if (job !== undefined && job !== null) void app.work.cancel(job);
  });
  stop.classList.add("take-cancel");
  let drawn: unknown[] = [];
  return {
    element: h("div", { className: "take-card" }, button, stop),
    render: (piece, tracks, chosen, longest) => {
      button.dataset["status"] = piece.status;
      button.setAttribute("aria-pressed", String(chosen));
      title.textContent = piece.job === null ? piece.prompt : `Take ${piece.take + 1}`;
      state.textContent = describe(piece, tracks);
      state.title = findings(piece);
      stop.hidden = !isGoing(piece);
      const now = [tracks, longest, theme()];
      if (now.some((value, at) => value !== drawn[at])) draw(canvas, tracks, longest);
      drawn = now;
    },
  };
}

/** The state of a take, or what it has become; wishes that cannot be measured do not count. */
export function describe(piece: Piece, tracks: readonly Track[]): string {
  if (piece.status === "queued") return "waiting";
  if (piece.status === "failed") return "failed";
  if (piece.status === "cancelled") return "cancelled";
  if (piece.status === "running") return `${noteCount(tracks)} notes …`;
  const { about } = piece;
  const measured = about?.findings.filter(({ met }) => met !== null) ?? [];
  const wishes = measured.length === 0 ? "" : ` · ${measured.filter(({ met }) => met).length}/${measured.length} wishes`;
  return `${clock(piece.seconds)}${about?.key ? ` · ${about.key}` : ""}${wishes}`;
}

function findings(piece: Piece): string {
  const lines = (piece.about?.findings ?? []).map(({ wish, asked, found, met }) =>
    met === null ? `– ${wish}: ${asked}` : `${met ? "✓" : "✗"} ${wish}: ${asked}, found ${found}`,
  );
  return lines.join("\n");
}

function draw(canvas: HTMLCanvasElement, tracks: readonly Track[], seconds: number): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const pitches = tracks.flatMap((track) => track.notes.map((note) => note.pitch));
  const low = pitches.reduce((least, pitch) => Math.min(least, pitch), 60) - 2;
  const high = pitches.reduce((most, pitch) => Math.max(most, pitch), 72) + 2;
  const [perSecond, perPitch] = [canvas.width / seconds, canvas.height / (high - low)];
  for (const track of tracks) {
    context.fillStyle = instrumentColour(track.instrument, 0.7);
    for (const { start, duration, pitch } of track.notes) {
      context.fillRect(start * perSecond, (high - pitch) * perPitch, Math.max(2, duration * perSecond - 1), Math.max(2.5, perPitch));
    }
  }
}
