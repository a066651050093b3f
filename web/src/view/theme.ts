/** Light and dark: which one is on, and the colours that canvases draw with. */

const NAME = "midi-llm.theme";
/** Hues of the tracks, in the order of the tracks, far apart from neighbour to neighbour. */
const HUES = [250, 45, 165, 330, 95, 205, 15, 295, 130, 70];

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

/** A track's colour; `strength` 0-1 is the velocity, or 1. */
export function trackColour(track: number, strength = 1): string {
  const hue = HUES[track % HUES.length] ?? 0;
  const lightness = theme() === "dark" ? 0.62 + 0.16 * strength : 0.72 - 0.16 * strength;
  return `oklch(${lightness.toFixed(2)} ${theme() === "dark" ? 0.13 : 0.15} ${hue})`;
}

/** The value of a colour of the style sheet, such as "--line". */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
