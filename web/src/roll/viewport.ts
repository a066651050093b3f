/** Which part of a piece the roll shows: seconds and pitches to pixels and back, scrolling, zooming, fitting. Pure. */

import { soundEnd, type Track } from "../music/piece";

export const KEYS_WIDTH = 44;
export const RULER_HEIGHT = 28;
const PITCHES = 128;
const NARROWEST_PITCH = 3;
const WIDEST_PITCH = 28;
const MOST_PER_SECOND = 800;
/** Silence shown after the end, as a share of the width. */
const MARGIN = 0.03;

export interface Viewport {
  /** Seconds at the left edge. */
  readonly left: number;
  readonly perSecond: number;
  /** Pitch at the top edge; fractions scroll smoothly. */
  readonly top: number;
  readonly perPitch: number;
  /** Pixels, keys and ruler included. */
  readonly width: number;
  readonly height: number;
}

export function xOf(view: Viewport, seconds: number): number {
  return KEYS_WIDTH + (seconds - view.left) * view.perSecond;
}

export function secondsOf(view: Viewport, x: number): number {
  return Math.max(0, view.left + (x - KEYS_WIDTH) / view.perSecond);
}

/** The upper edge of a pitch's lane. */
export function yOf(view: Viewport, pitch: number): number {
  return RULER_HEIGHT + (view.top - pitch) * view.perPitch;
}

export function pitchOf(view: Viewport, y: number): number {
  return Math.ceil(view.top - (y - RULER_HEIGHT) / view.perPitch);
}

/** Shows `seconds` from the start, and all the pitches that sound. */
export function fit(view: Viewport, tracks: readonly Track[], seconds: number): Viewport {
  let low = 127;
  let high = 0;
  for (const track of tracks) {
    for (const note of track.notes) {
      low = Math.min(low, note.pitch);
      high = Math.max(high, note.pitch);
    }
  }
  if (low > high) [low, high] = [48, 84];
  const lanes = high - low + 5;
  const perPitch = clamp((view.height - RULER_HEIGHT) / lanes, NARROWEST_PITCH, 16);
  const spare = (view.height - RULER_HEIGHT) / perPitch - lanes;
  const length = Math.max(4, seconds, soundEnd(tracks)) * (1 + MARGIN);
  return bounded({ ...view, left: 0, perSecond: (view.width - KEYS_WIDTH) / length, top: high + 2 + spare / 2, perPitch }, length);
}

export function scroll(view: Viewport, dx: number, dy: number, end: number): Viewport {
  return bounded({ ...view, left: view.left + dx / view.perSecond, top: view.top - dy / view.perPitch }, end);
}

/** Zooms time by a factor, keeping what is under `x` in place. */
export function zoomTime(view: Viewport, factor: number, x: number, end: number): Viewport {
  const least = (view.width - KEYS_WIDTH) / Math.max(4, 2 * end);
  const perSecond = clamp(view.perSecond * factor, least, MOST_PER_SECOND);
  const held = secondsOf(view, x);
  return bounded({ ...view, perSecond, left: held - (x - KEYS_WIDTH) / perSecond }, end);
}

export function zoomPitch(view: Viewport, factor: number, y: number, end: number): Viewport {
  const perPitch = clamp(view.perPitch * factor, NARROWEST_PITCH, WIDEST_PITCH);
  const held = view.top - (y - RULER_HEIGHT) / view.perPitch;
  return bounded({ ...view, perPitch, top: held + (y - RULER_HEIGHT) / perPitch }, end);
}

function bounded(view: Viewport, end: number): Viewport {
  const shown = (view.width - KEYS_WIDTH) / view.perSecond;
  const lanes = (view.height - RULER_HEIGHT) / view.perPitch;
  const left = clamp(view.left, 0, Math.max(0, end * (1 + MARGIN) - shown));
  return { ...view, left, top: lanes >= PITCHES ? PITCHES - 1 : clamp(view.top, lanes - 1, PITCHES - 1) };
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
