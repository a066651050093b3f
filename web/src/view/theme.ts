/** Light and dark: which one is on, and the colours that canvases draw with. */

const NAME = "midi-llm.theme";
/** Hues of the 16 General MIDI families, and of drums: an instrument has the same colour in every take. */
const HUES = [252, 200, 320, 120, 45, 165, 150, 85, 350, 220, 290, 275, 305, 65, 20, 180, 95];
/** Degrees of hue from one program of a family to the next. */
const STEP = 3.5;

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

/** An instrument's colour; `strength` 0-1 is the velocity, or 1. */
export function instrumentColour(instrument: number, strength = 1): string {
  const hue = (HUES[instrument >> 3] ?? 0) + (instrument % 8) * STEP;
  const lightness = theme() === "dark" ? 0.62 + 0.16 * strength : 0.72 - 0.16 * strength;
  return `oklch(${lightness.toFixed(2)} ${theme() === "dark" ? 0.13 : 0.15} ${hue})`;
}

/** The value of a colour of the style sheet, such as "--line". */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
