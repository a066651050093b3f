/** The keyboard: one table of shortcuts, which the help shows as well. */

import { applyEdit, gridOf, type App } from "./app";
import { deleteNotes, moveNotes } from "./music/editing";
import { STEPS_PER_QUARTER } from "./music/grid";
import type { Roll } from "./roll/roll";

export interface Shortcut {
  readonly keys: string;
  readonly does: string;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: "Space", does: "play, pause" },
  { keys: "Home", does: "back to the start" },
  { keys: "Ctrl+Enter", does: "compose" },
  { keys: "/", does: "to the prompt" },
  { keys: "Ctrl+Z, Ctrl+Shift+Z", does: "undo, redo" },
  { keys: "+, −, 0", does: "zoom in, out, show all" },
  { keys: "1 … 8", does: "show a take" },
  { keys: "M, L", does: "mute, solo the selected track" },
  { keys: "↑ ↓", does: "selected notes a semitone (Shift: an octave)" },
  { keys: "← →", does: "selected notes a sixteenth; none selected: the playhead a bar" },
  { keys: "Delete", does: "delete the selected notes" },
  { keys: "Ctrl+A, Esc", does: "select all notes of the track, nothing" },
  { keys: "Wheel", does: "scroll; Shift: sideways; Ctrl: zoom time; Alt: zoom pitch" },
  { keys: "Double click", does: "add a note" },
  { keys: "Drag on the ruler", does: "select bars" },
  { keys: "?", does: "this list" },
];

const ZOOM = 1.4;

export function listenToKeys(app: App, roll: Roll, help: () => void, focusPrompt: () => void): void {
  window.addEventListener("keydown", (event) => {
    const target = event.target;
    const typing = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
    if (typing || document.querySelector("dialog[open]") !== null) return;
    // a button that was reached with the keyboard is pressed; one that was clicked leaves the space bar to the transport
    if (event.key === " " && target instanceof HTMLButtonElement && target.matches(":focus-visible")) return;
    const deed = deedOf(app, event, roll, help, focusPrompt);
    if (deed === null) return;
    event.preventDefault();
    deed();
  });
}

function deedOf(app: App, event: KeyboardEvent, roll: Roll, help: () => void, focusPrompt: () => void): (() => void) | null {
  const { store, player } = app;
  if (event.ctrlKey || event.metaKey) return withControl(app, event);
  switch (event.key) {
    case " ": return () => void player.toggle();
    case "Home": return () => void player.seek(0);
    case "/": return focusPrompt;
    case "?": return help;
    case "+": case "=": return () => roll.zoom(ZOOM);
    case "-": return () => roll.zoom(1 / ZOOM);
    case "0": return () => roll.fit();
    case "Escape": return () => store.select({ notes: [], bars: null, track: null });
    case "m": case "l": return () => toggleStrip(app, event.key === "m" ? "mute" : "solo");
    case "Delete": case "Backspace": return store.document.notes.length === 0 ? null : () => remove(app);
    case "ArrowUp": case "ArrowDown": return store.document.notes.length === 0 ? null : () => nudge(app, event, "pitch");
    case "ArrowLeft": case "ArrowRight": return store.shown === null ? null : () => nudge(app, event, "time");
    default: return /^[1-8]$/.test(event.key) ? () => showTake(app, Number(event.key) - 1) : null;
  }
}

function withControl(app: App, event: KeyboardEvent): (() => void) | null {
  const key = event.key.toLowerCase();
  if (key === "z") return () => (event.shiftKey ? app.store.redo() : app.store.undo());
  if (key === "y") return () => app.store.redo();
  return key === "a" && app.store.shown !== null ? () => selectAll(app) : null;
}

function selectAll({ store }: App): void {
  if (store.shown === null) return;
  const { track } = store.document;
  const notes = store.tracksOf(store.shown).flatMap((one, at) =>
    track === null || track === at ? one.notes.map((_, note) => [at, note] as const) : [],
  );
  store.select({ notes });
}

function remove(app: App): void {
  const piece = app.store.shown;
  if (piece !== null) applyEdit(app, piece, deleteNotes(app.store.tracksOf(piece), app.store.document.notes));
}

function nudge(app: App, event: KeyboardEvent, along: "time" | "pitch"): void {
  const { store, player } = app;
  const piece = store.shown;
  if (piece === null) return;
  const direction = event.key === "ArrowUp" || event.key === "ArrowRight" ? 1 : -1;
  const { notes } = store.document;
  const grid = gridOf(store, piece);
  if (notes.length === 0) {
    void player.seek(grid.bars[Math.max(0, grid.barAt(player.position) + direction)] ?? 0);
    return;
  }
  const first = store.tracksOf(piece)[notes[0]?.[0] ?? 0]?.notes[notes[0]?.[1] ?? 0];
  if (first === undefined) return;
  const step = grid.secondsAt(grid.quarterAt(first.start) + direction / STEPS_PER_QUARTER) - first.start;
  const semitones = direction * (event.shiftKey ? 12 : 1);
  const [seconds, up] = along === "time" ? [step, 0] : [0, semitones];
  applyEdit(app, piece, moveNotes(store.tracksOf(piece), notes, seconds, up), `nudge ${along}`);
  if (along === "pitch") void player.audition(notes[0]?.[0] ?? 0, first.pitch + up, first.velocity);
}

function toggleStrip(app: App, which: "mute" | "solo"): void {
  const { track } = app.store.document;
  document.querySelector<HTMLButtonElement>(`.strip[data-track="${track}"] .${which}`)?.click();
}

function showTake({ store }: App, take: number): void {
  const job = store.shown?.job;
  const found = store.remembered.find((piece) => job !== null && piece.job === job && piece.take === take);
  if (found !== undefined) store.show(found.id);
}
