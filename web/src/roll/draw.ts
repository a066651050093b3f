/** Draws the roll on a canvas: lanes, bar lines, notes, keys and ruler. */

import type { Grid } from "../music/grid";
import { firstFrom, type Note, type Track } from "../music/piece";
import type { Document } from "../store";
import { colour, instrumentColour } from "../view/theme";
import { KEYS_WIDTH, pitchOf, RULER_HEIGHT, secondsOf, xOf, yOf, type Viewport } from "./viewport";

export interface Scene {
  readonly view: Viewport;
  readonly tracks: readonly Track[];
  /** Loudness of each track, 0 to 1: silent ones are drawn faint. */
  readonly levels: readonly number[];
  readonly grid: Grid;
  readonly bars: Document["bars"];
  readonly active: number | null;
  readonly selected: Document["notes"];
  readonly marquee: readonly [number, number, number, number] | null;
}

interface Palette {
  lane: string; blackLane: string; line: string; beat: string; bar: string; text: string; keys: string; blackKey: string;
  ruler: string; select: string; chosen: string; shades: Map<number, string[]>;
}

const BLACK = new Set([1, 3, 6, 8, 10]);
const STRENGTHS = 6;
/** Bar lines nearer than this many pixels are left out. */
const NEAREST_BARS = 22;
const NEAREST_BEATS = 14;
const ROUNDED_NOTES = 1500;

let palette: Palette | null = null;

/** Reads the colours anew, after the theme was switched. */
export function forgetColours(): void {
  palette = null;
}

function colours(): Palette {
  palette ??= {
    lane: colour("--roll"), blackLane: colour("--roll-black"), line: colour("--roll-line"), beat: colour("--roll-beat"),
    bar: colour("--roll-bar"), text: colour("--muted"), keys: colour("--key"), blackKey: colour("--key-black"),
    ruler: colour("--panel"), select: colour("--select"), chosen: colour("--ink"),
    shades: new Map(),
  };
  return palette;
}

export function drawRoll(context: CanvasRenderingContext2D, scene: Scene): void {
  const { view } = scene;
  context.save();
  context.beginPath();
  context.rect(KEYS_WIDTH, RULER_HEIGHT, view.width - KEYS_WIDTH, view.height - RULER_HEIGHT);
  context.clip();
  drawLanes(context, view);
  drawBars(context, scene);
  drawSelectedBars(context, scene);
  drawNotes(context, scene);
  drawMarquee(context, scene);
  context.restore();
  drawRuler(context, scene);
  drawKeys(context, view);
}

function drawLanes(context: CanvasRenderingContext2D, view: Viewport): void {
  const { lane, blackLane, line } = colours();
  context.fillStyle = lane;
  context.fillRect(KEYS_WIDTH, RULER_HEIGHT, view.width, view.height);
  for (let pitch = pitchOf(view, view.height); pitch <= view.top + 1; pitch++) {
    const y = yOf(view, pitch);
    if (BLACK.has(((pitch % 12) + 12) % 12)) {
      context.fillStyle = blackLane;
      context.fillRect(KEYS_WIDTH, y, view.width, view.perPitch);
    }
    if (pitch % 12 === 0) {
      context.fillStyle = line;
      context.fillRect(KEYS_WIDTH, Math.round(y + view.perPitch) - 1, view.width, 1);
    }
  }
}

/** Every how many bars a line is drawn: 1, 2, 4, 8 … */
function barStep(scene: Scene): number {
  const { bars } = scene.grid;
  const length = ((bars.at(-1) ?? 2) - (bars[0] ?? 0)) / Math.max(1, bars.length - 1);
  let step = 1;
  while (step * length * scene.view.perSecond < NEAREST_BARS) step *= 2;
  return step;
}

function drawBars(context: CanvasRenderingContext2D, { view, grid, ...rest }: Scene): void {
  const { beat, bar } = colours();
  const step = barStep({ view, grid, ...rest });
  const until = secondsOf(view, view.width);
  grid.bars.forEach((start, index) => {
    const end = grid.bars[index + 1];
    if (start > until || (end ?? start) < view.left || index % step > 0) return;
    if (end !== undefined && step === 1) drawBeats(context, view, grid, start, end, beat);
    context.fillStyle = bar;
    context.fillRect(Math.round(xOf(view, start)), RULER_HEIGHT, 1, view.height);
  });
}

function drawBeats(context: CanvasRenderingContext2D, view: Viewport, grid: Grid, start: number, end: number, beat: string): void {
  const [from, to] = [grid.quarterAt(start), grid.quarterAt(end)];
  const unit = ((end - start) * view.perSecond) / (to - from) / 4 > NEAREST_BEATS ? 0.25 : 1;
  if (((end - start) * view.perSecond * unit) / (to - from) < NEAREST_BEATS) return;
  context.fillStyle = beat;
  for (let at = from + unit; at < to - 1e-6; at += unit) {
    context.fillRect(Math.round(xOf(view, grid.secondsAt(at))), RULER_HEIGHT, 1, view.height);
  }
}

function drawSelectedBars(context: CanvasRenderingContext2D, { view, grid, bars }: Scene): void {
  if (bars === null) return;
  const [from, to] = [xOf(view, grid.bars[bars[0]] ?? 0), xOf(view, grid.bars[bars[1] + 1] ?? 0)];
  context.fillStyle = colours().select;
  context.globalAlpha = 0.16;
  context.fillRect(from, RULER_HEIGHT, to - from, view.height);
  context.globalAlpha = 1;
}

function drawNotes(context: CanvasRenderingContext2D, scene: Scene): void {
  const order = scene.tracks.map((_, track) => track).filter((track) => track !== scene.active);
  if (scene.active !== null && scene.active < scene.tracks.length) order.push(scene.active);
  for (const track of order) {
    const { notes, instrument } = scene.tracks[track] ?? { notes: [], instrument: 0 };
    const quiet = (scene.levels[track] ?? 1) === 0;
    context.globalAlpha = quiet ? 0.16 : scene.active === null || scene.active === track ? 1 : 0.45;
    drawTrack(context, scene, notes, shadesOf(instrument));
  }
  context.globalAlpha = 1;
  drawSelected(context, scene);
}

/** An instrument's colours, from the softest note to the loudest. */
function shadesOf(instrument: number): string[] {
  const { shades } = colours();
  const made = shades.get(instrument) ?? Array.from({ length: STRENGTHS }, (_, at) => instrumentColour(instrument, at / (STRENGTHS - 1)));
  shades.set(instrument, made);
  return made;
}

function drawTrack(context: CanvasRenderingContext2D, { view }: Scene, notes: readonly Note[], shades: string[]): void {
  const until = secondsOf(view, view.width);
  const height = Math.max(2, view.perPitch - 1);
  const rounded = view.perPitch >= 7 && notes.length < ROUNDED_NOTES;
  byStrength(notes).forEach((group, strength) => {
    context.fillStyle = shades[strength] ?? "";
    const last = firstFrom(group, until);
    for (let at = 0; at < last; at++) {
      const note = group[at];
      if (note === undefined || note.start + note.duration < view.left) continue;
      const [x, y] = [xOf(view, note.start), yOf(view, note.pitch)];
      if (y < RULER_HEIGHT - height || y > view.height) continue;
      const width = Math.max(2, note.duration * view.perSecond - 1);
      if (rounded && width > 4) {
        context.beginPath();
        context.roundRect(x, y, width, height, 2.5);
        context.fill();
      } else context.fillRect(x, y, width, height);
    }
  });
}

const groups = new WeakMap<readonly Note[], Note[][]>();

/** A track's notes by loudness, softest first: the colour of the canvas changes once a group, not once a note. */
function byStrength(notes: readonly Note[]): Note[][] {
  let made = groups.get(notes);
  if (made === undefined) {
    made = Array.from({ length: STRENGTHS }, () => []);
    for (const note of notes) made[Math.round((note.velocity / 127) * (STRENGTHS - 1))]?.push(note);
    groups.set(notes, made);
  }
  return made;
}

function drawSelected(context: CanvasRenderingContext2D, { view, tracks, selected }: Scene): void {
  context.strokeStyle = colours().chosen;
  context.lineWidth = 2;
  for (const [track, at] of selected) {
    const note = tracks[track]?.notes[at];
    if (note === undefined) continue;
    context.strokeRect(xOf(view, note.start), yOf(view, note.pitch), Math.max(3, note.duration * view.perSecond - 1), view.perPitch - 1);
  }
}

function drawMarquee(context: CanvasRenderingContext2D, { marquee }: Scene): void {
  if (marquee === null) return;
  const [x, y, toX, toY] = marquee;
  context.fillStyle = context.strokeStyle = colours().select;
  context.globalAlpha = 0.15;
  context.fillRect(x, y, toX - x, toY - y);
  context.globalAlpha = 1;
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, y + 0.5, toX - x, toY - y);
}

function drawRuler(context: CanvasRenderingContext2D, scene: Scene): void {
  const { view, grid, bars } = scene;
  const { ruler, bar, text, select } = colours();
  context.fillStyle = ruler;
  context.fillRect(0, 0, view.width, RULER_HEIGHT);
  if (bars !== null) {
    const [from, to] = [xOf(view, grid.bars[bars[0]] ?? 0), xOf(view, grid.bars[bars[1] + 1] ?? 0)];
    context.fillStyle = select;
    context.fillRect(Math.max(KEYS_WIDTH, from), RULER_HEIGHT - 5, Math.max(0, to - Math.max(KEYS_WIDTH, from)), 5);
  }
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  const step = barStep(scene);
  const labelled = step * Math.ceil(26 / Math.max(1, pixelsBetween(scene, step)));
  for (let index = 0; index < grid.bars.length - 1; index += step) {
    const x = Math.round(xOf(view, grid.bars[index] ?? 0));
    if (x < KEYS_WIDTH || x > view.width) continue;
    context.fillStyle = bar;
    context.fillRect(x, RULER_HEIGHT - 8, 1, 8);
    context.fillStyle = text;
    if (index % labelled === 0) context.fillText(String(index + 1), x + 4, RULER_HEIGHT / 2 - 2);
  }
}

function pixelsBetween({ grid, view }: Scene, step: number): number {
  return (((grid.bars.at(-1) ?? 1) / Math.max(1, grid.bars.length - 1)) * step) * view.perSecond;
}

function drawKeys(context: CanvasRenderingContext2D, view: Viewport): void {
  const { keys, blackKey, line, text, ruler } = colours();
  context.save();
  context.beginPath();
  context.rect(0, RULER_HEIGHT, KEYS_WIDTH, view.height);
  context.clip();
  context.fillStyle = keys;
  context.fillRect(0, RULER_HEIGHT, KEYS_WIDTH, view.height);
  context.font = `${Math.min(10, Math.max(8, view.perPitch))}px system-ui, sans-serif`;
  for (let pitch = pitchOf(view, view.height); pitch <= view.top + 1; pitch++) {
    const y = yOf(view, pitch);
    const step = ((pitch % 12) + 12) % 12;
    context.fillStyle = blackKey;
    if (BLACK.has(step)) context.fillRect(0, y, KEYS_WIDTH * 0.6, view.perPitch);
    context.fillStyle = line;
    if (step === 0 || step === 5) context.fillRect(0, Math.round(y + view.perPitch) - 1, KEYS_WIDTH, 1);
    context.fillStyle = text;
    if (step === 0) context.fillText(`C${pitch / 12 - 1}`, KEYS_WIDTH - 18, y + view.perPitch / 2 + 0.5);
  }
  context.restore();
  context.fillStyle = ruler;
  context.fillRect(0, 0, KEYS_WIDTH, RULER_HEIGHT);
}
