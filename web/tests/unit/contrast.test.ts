/** The colours of the style sheet: text on its grounds is readable, and marks are seen, in light and in dark (WCAG 2.2). */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

type Rgb = readonly number[];

const TEXT = 4.5;
const MARKS = 3;
const SHEET = readFileSync(new URL("../../src/style.css", import.meta.url), "utf8");

/** Text, and what it stands on; "accent 13% raised" is so much of one colour over another. */
const READ: readonly (readonly [string, readonly string[]])[] = [
  ["ink", ["page", "panel", "raised", "accent 13% panel"]],
  ["muted", ["page", "panel", "raised", "roll", "roll-black", "key", "accent 13% panel"]],
  ["accent", ["panel", "raised", "accent 13% raised"]],
  ["accent-ink", ["accent"]],
  ["bad", ["panel", "raised", "roll", "roll-black", "bad-soft"]],
  ["panel", ["bad"]],
];
const SEEN: readonly (readonly [string, readonly string[]])[] = [
  ["select", ["page", "panel", "raised", "roll", "roll-black"]],
  ["head", ["roll", "roll-black", "panel"]],
];

function colours(theme: 0 | 1): Map<string, Rgb> {
  const found = [...SHEET.matchAll(/--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\);/g)];
  return new Map(found.map((match) => [match[1] ?? "", (match[2 + theme] ?? "").match(/../g)?.map((two) => Number.parseInt(two, 16)) ?? []]));
}

function named(all: Map<string, Rgb>, words: string): Rgb {
  const [name = "", share, ground = ""] = words.split(/ |% /);
  const [over, under] = [all.get(name), all.get(ground)];
  assert.ok(over !== undefined && (share === undefined || under !== undefined), `the style sheet has ${words}`);
  return over.map((value, at) => (under === undefined ? value : (value * Number(share) + (under[at] ?? 0) * (100 - Number(share))) / 100));
}

function luminance(colour: Rgb): number {
  const [red = 0, green = 0, blue = 0] = colour.map((byte) => (byte / 255 <= 0.04045 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: Rgb, other: Rgb): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((left, right) => left - right);
  return (light + 0.05) / (dark + 0.05);
}

for (const [name, theme] of [["light", 0], ["dark", 1]] as const) {
  for (const [what, pairs, least] of [["text", READ, TEXT], ["marks", SEEN, MARKS]] as const) {
    test(`the contrast of ${what} in ${name}`, () => {
      const all = colours(theme);
      const poor = pairs.flatMap(([front, grounds]) =>
        grounds.map((ground) => [front, ground, contrast(named(all, front), named(all, ground))] as const).filter(([, , found]) => found < least),
      );
      assert.deepEqual(poor, []);
    });
  }
}
