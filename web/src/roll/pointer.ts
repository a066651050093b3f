/** What the mouse, pen and fingers do on the roll: seek, select bars and notes, move, stretch and add notes, scroll, zoom. */

import { applyEdit, gridOf, type App } from "../app";
import { addNote, moveNotes, stretchNotes } from "../music/editing";
import { STEPS_PER_QUARTER } from "../music/grid";
import type { Piece } from "../music/piece";
import type { NoteRef } from "../store";
import { noteAt, notesIn } from "./hit";
import { KEYS_WIDTH, pitchOf, RULER_HEIGHT, scroll, secondsOf, zoomPitch, zoomTime, type Viewport } from "./viewport";

/** What gestures need of the roll they act on. */
export interface Host {
  readonly app: App;
  readonly canvas: HTMLCanvasElement;
  /** The piece in the roll, when its notes may be touched. */
  piece(): Piece | null;
  view(): Viewport;
  setView(view: Viewport): void;
  setMarquee(marquee: [number, number, number, number] | null): void;
}

interface Gesture {
  move(x: number, y: number): void;
  end(): void;
}

const CLICK_PIXELS = 4;
const NEW_VELOCITY = 90;
const WHEEL_ZOOM = 0.0022;
const LINE_PIXELS = 16;

export function listen(host: Host): void {
  const { canvas } = host;
  const fingers = new Map<number, [number, number]>();
  let gesture: Gesture | null = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    gesture = fingers.size === 2 ? pinch(host, fingers) : begin(host, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (gesture !== null) gesture.move(event.offsetX, event.offsetY);
    else hover(host, event);
  });
  const finish = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
    gesture?.end();
    gesture = null;
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("dblclick", (event) => add(host, event.offsetX, event.offsetY));
  canvas.addEventListener("wheel", (event) => wheel(host, event), { passive: false });
}

function begin(host: Host, event: PointerEvent): Gesture | null {
  const { offsetX: x, offsetY: y } = event;
  const { store } = host.app;
  if (store.shown === null) return null;
  if (y < RULER_HEIGHT) return onRuler(host, store.shown, x, event.shiftKey);
  if (x < KEYS_WIDTH) return onKeys(host, y);
  const piece = host.piece();
  if (piece === null) return event.pointerType === "touch" ? pan(host, x, y, null) : null;
  const hit = noteAt(host.view(), store.tracksOf(piece), store.document.track, x, y);
  if (event.pointerType === "touch" && (hit === null || !isSelected(host, hit.note))) return pan(host, x, y, hit?.note ?? null);
  if (hit === null) return marquee(host, piece, x, y);
  selectNote(host, hit.note, event.shiftKey || event.ctrlKey || event.metaKey);
  return hit.edge ? stretch(host, piece, x) : drag(host, piece, x, y);
}

function isSelected(host: Host, [track, at]: NoteRef): boolean {
  return host.app.store.document.notes.some(([otherTrack, other]) => otherTrack === track && other === at);
}

function selectNote(host: Host, note: NoteRef, more: boolean): void {
  const { store, player } = host.app;
  const before = store.document.notes;
  if (!isSelected(host, note)) store.select({ notes: more ? [...before, note] : [note] });
  else if (more) store.select({ notes: before.filter(([track, at]) => track !== note[0] || at !== note[1]) });
  const piece = host.piece();
  const sounding = piece === null ? undefined : store.tracksOf(piece)[note[0]]?.notes[note[1]];
  if (sounding !== undefined) void player.audition(note[0], sounding.pitch, sounding.velocity);
}

/** A click goes there; a drag, or a click with shift, selects whole bars. */
function onRuler(host: Host, piece: Piece, x: number, shift: boolean): Gesture {
  const { store, player } = host.app;
  const grid = gridOf(store, piece);
  const barAt = (at: number): number => grid.barAt(secondsOf(host.view(), at));
  const anchor = shift ? (store.document.bars?.[0] ?? barAt(x)) : barAt(x);
  let dragged = shift;
  const select = (at: number): void => {
    const bar = barAt(at);
    store.select({ bars: [Math.min(anchor, bar), Math.max(anchor, bar)] });
  };
  if (shift) select(x);
  return {
    move: (toX) => {
      dragged ||= Math.abs(toX - x) > CLICK_PIXELS;
      if (dragged) select(toX);
    },
    end: () => {
      if (!dragged) void player.seek(secondsOf(host.view(), x));
    },
  };
}

function onKeys(host: Host, y: number): Gesture {
  let sounding = -1;
  const sound = (at: number): void => {
    const pitch = pitchOf(host.view(), at);
    if (pitch !== sounding) void host.app.player.audition(host.app.store.document.track ?? 0, pitch, NEW_VELOCITY);
    sounding = pitch;
  };
  sound(y);
  return { move: (_, toY) => sound(toY), end: () => undefined };
}

function pan(host: Host, x: number, y: number, tapped: NoteRef | null): Gesture {
  let [lastX, lastY, moved] = [x, y, false];
  return {
    move: (toX, toY) => {
      moved ||= Math.hypot(toX - x, toY - y) > CLICK_PIXELS;
      if (moved) host.setView(scroll(host.view(), lastX - toX, lastY - toY, endOf(host)));
      [lastX, lastY] = [toX, toY];
    },
    end: () => {
      if (moved) return;
      if (tapped !== null) selectNote(host, tapped, false);
      else host.app.store.select({ notes: [] });
    },
  };
}

function pinch(host: Host, fingers: ReadonlyMap<number, [number, number]>): Gesture {
  const spread = (): [number, number] => {
    const [one, two] = [...fingers.values()];
    if (one === undefined || two === undefined) return [0, 1];
    return [(one[0] + two[0]) / 2, Math.max(20, Math.hypot(one[0] - two[0], one[1] - two[1]))];
  };
  let [, before] = spread();
  return {
    move: () => {
      const [middle, now] = spread();
      host.setView(zoomTime(host.view(), now / before, middle, endOf(host)));
      before = now;
    },
    end: () => undefined,
  };
}

function marquee(host: Host, piece: Piece, x: number, y: number): Gesture {
  const { store } = host.app;
  store.select({ notes: [] });
  return {
    move: (toX, toY) => {
      const box: [number, number, number, number] = [x, y, toX, toY];
      host.setMarquee(box);
      store.select({ notes: notesIn(host.view(), store.tracksOf(piece), store.document.track, box) });
    },
    end: () => host.setMarquee(null),
  };
}

function drag(host: Host, piece: Piece, x: number, y: number): Gesture {
  const { store, player } = host.app;
  const start = { tracks: store.tracksOf(piece), notes: store.document.notes };
  const grid = gridOf(store, piece);
  const held = start.notes[0];
  const note = held === undefined ? undefined : start.tracks[held[0]]?.notes[held[1]];
  const label = `move ${Date.now()}`;
  let [moved, up] = [false, 0];
  return {
    move: (toX, toY) => {
      moved ||= Math.hypot(toX - x, toY - y) > CLICK_PIXELS;
      if (!moved || note === undefined || held === undefined) return;
      const view = host.view();
      const seconds = Math.abs(toX - x) > CLICK_PIXELS ? grid.snap(note.start + (toX - x) / view.perSecond) - note.start : 0;
      const semitones = pitchOf(view, toY) - pitchOf(view, y);
      applyEdit(host.app, piece, moveNotes(start.tracks, start.notes, seconds, semitones), label);
      if (semitones !== up) void player.audition(held[0], note.pitch + semitones, note.velocity);
      up = semitones;
    },
    end: () => undefined,
  };
}

function stretch(host: Host, piece: Piece, x: number): Gesture {
  const { store } = host.app;
  const start = { tracks: store.tracksOf(piece), notes: store.document.notes };
  const label = `stretch ${Date.now()}`;
  return {
    move: (toX) => {
      const seconds = (toX - x) / host.view().perSecond;
      applyEdit(host.app, piece, stretchNotes(start.tracks, start.notes, seconds), label);
    },
    end: () => undefined,
  };
}

/** A double click adds a note, one grid step long, to the selected track or the first. */
function add(host: Host, x: number, y: number): void {
  const piece = host.piece();
  if (piece === null || x < KEYS_WIDTH || y < RULER_HEIGHT) return;
  const { store, player } = host.app;
  const tracks = store.tracksOf(piece);
  const track = store.document.track ?? 0;
  if (track >= tracks.length || noteAt(host.view(), tracks, store.document.track, x, y) !== null) return;
  const grid = gridOf(store, piece);
  const step = Math.floor(grid.quarterAt(secondsOf(host.view(), x)) * STEPS_PER_QUARTER) / STEPS_PER_QUARTER;
  const start = grid.secondsAt(step);
  const duration = grid.secondsAt(step + 2 / STEPS_PER_QUARTER) - start;
  const pitch = pitchOf(host.view(), y);
  applyEdit(host.app, piece, addNote(tracks, track, { start, duration, pitch, velocity: NEW_VELOCITY }));
  void player.audition(track, pitch, NEW_VELOCITY);
}

function wheel(host: Host, event: WheelEvent): void {
  event.preventDefault();
  const view = host.view();
  const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PIXELS : 1;
  const [deltaX, deltaY] = [event.deltaX * unit, event.deltaY * unit];
  const factor = Math.exp(-deltaY * WHEEL_ZOOM);
  if (event.ctrlKey || event.metaKey) host.setView(zoomTime(view, factor, event.offsetX, endOf(host)));
  else if (event.altKey) host.setView(zoomPitch(view, factor, event.offsetY, endOf(host)));
  else if (event.shiftKey) host.setView(scroll(view, deltaY, 0, endOf(host)));
  else host.setView(scroll(view, deltaX, deltaY, endOf(host)));
}

function hover(host: Host, event: PointerEvent): void {
  const piece = host.piece();
  const { store } = host.app;
  const { offsetX: x, offsetY: y } = event;
  const over = piece === null ? null : noteAt(host.view(), store.tracksOf(piece), store.document.track, x, y);
  const cursor = y < RULER_HEIGHT ? "text" : x < KEYS_WIDTH ? "pointer" : over === null ? "default" : over.edge ? "ew-resize" : "grab";
  if (host.canvas.style.cursor !== cursor) host.canvas.style.cursor = cursor;
}

/** Where the piece ends, for scrolling and zooming. */
export function endOf({ app }: Pick<Host, "app">): number {
  const piece = app.store.shown;
  return piece === null ? 8 : (gridOf(app.store, piece).bars.at(-1) ?? 8);
}
