/** Light and dark: which one is on, and the colours that canvases draw with. */

import { DRUMS } from "../music/instruments";
import { h } from "./dom";

const NAME = "midi-llm.theme";
/** From one General MIDI program to the next the hue turns by the golden angle: neighbours are far apart. */
const GOLDEN_ANGLE = 137.508;
/** The hue of program 0, the piano. */
const FIRST_HUE = 252;

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

/** An instrument's colour, the same in every take; drums are nearly grey. `strength` 0-1 is the velocity. */
export function instrumentColour(instrument: number, strength = 1): string {
  const dark = theme() === "dark";
  const lightness = dark ? 0.62 + 0.16 * strength : 0.72 - 0.16 * strength;
  const chroma = instrument === DRUMS ? 0.035 : dark ? 0.13 : 0.15;
  const hue = (FIRST_HUE + instrument * GOLDEN_ANGLE) % 360;
  return `oklch(${lightness.toFixed(2)} ${chroma} ${hue.toFixed(0)})`;
}

/** A colour of the style sheet, such as "--line", as it is in the theme that is on. */
export function colour(name: string): string {
  const probe = h("span", { style: `color: var(${name})` });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
