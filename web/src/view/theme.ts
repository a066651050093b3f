/** Light and dark: which one is on, and the colours that canvases draw with. */

import { DRUMS } from "../music/instruments";
import { h } from "./dom";

const NAME = "midi-llm.theme";
/** However many hues have been given out, the next one by this angle is far from all of them. */
const GOLDEN_ANGLE = 137.508;
const FIRST_HUE = 252;
/** Instruments in the order in which they were first drawn: those of a piece are near each other in it, so their hues are not. */
const drawn: number[] = [];

export type Theme = "light" | "dark";

export function theme(): Theme {
  const set = document.documentElement.dataset["theme"];
  if (set === "light" || set === "dark") return set;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

export function startTheme(onChange: () => void): void {
  const kept = localStorage.getItem(NAME);
  if (kept !== null) document.documentElement.dataset["theme"] = kept;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}

export function switchTheme(): void {
  const other = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = other;
  localStorage.setItem(NAME, other);
}

function hueOf(instrument: number): number {
  if (instrument !== DRUMS && !drawn.includes(instrument)) drawn.push(instrument);
  return (FIRST_HUE + drawn.indexOf(instrument) * GOLDEN_ANGLE) % 360;
}

/** An instrument's colour, the same in every take; drums are nearly grey. `strength` 0-1 is the velocity. */
export function instrumentColour(instrument: number, strength = 1): string {
  const dark = theme() === "dark";
  const lightness = dark ? 0.62 + 0.16 * strength : 0.72 - 0.16 * strength;
  const chroma = instrument === DRUMS ? 0.035 : dark ? 0.13 : 0.15;
  return `oklch(${lightness.toFixed(2)} ${chroma} ${hueOf(instrument).toFixed(0)})`;
}

/** A colour of the style sheet, such as "--line", as it is in the theme that is on. */
export function colour(name: string): string {
  const probe = h("span", { style: `color: var(${name})` });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
