/** The whole way: compose, notes before the end, play, mute, infill bars, undo, download. STUDIO_URL: a service to run it on. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { standIn, type StandIn } from "../stand-in/server";
import { notesShown, openBrowser, takeDone, visit } from "./browser";
import { giveEar, waitForSilence, waitForSound } from "./ear";

const PROMPT = "A lively song with piano, bass, strings and clarinet in A minor, 112 bpm";
/** Whether the pictures are for docs. */
const KEPT = process.env["STUDIO_PICTURES"] === "1";
const PICTURES = KEPT ? fileURLToPath(new URL("../../../docs/images/", import.meta.url)) : mkdtempSync(join(tmpdir(), "studio-"));
/** A piece that is short to compose, except for the pictures. */
const SECONDS = KEPT ? 30 : 12;
/** Long enough for notes to be seen before the last ones are there. */
const SEEN_MS = 45;
const LARGEST_PICTURE = 200_000;

let browser: Browser;
let service: StandIn | null = null;
let url = process.env["STUDIO_URL"] ?? "";

before(async () => {
  browser = await openBrowser();
  if (url === "") {
    service = await standIn({ pauseMs: SEEN_MS });
    url = service.url;
  }
});
after(async () => {
  await browser.close();
  await service?.close();
  if (!KEPT) rmSync(PICTURES, { recursive: true });
});

async function dragOnRuler(page: Page, from: number, to: number): Promise<void> {
  const box = await page.locator("#roll").boundingBox();
  assert.ok(box !== null);
  await page.mouse.move(box.x + box.width * from, box.y + 10);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * to, box.y + 10, { steps: 5 });
  await page.mouse.up();
}

/** How many notes the roll shows as soon as it shows any, and what state their take is in at that moment. */
async function firstNotes(page: Page): Promise<[number, string | undefined]> {
  const seen = await page.waitForFunction(() => {
    const notes = Number(document.getElementById("roll")?.dataset["notes"]);
    const take = document.querySelector<HTMLElement>('.take[aria-pressed="true"]');
    return notes > 0 ? ([notes, take?.dataset["status"]] as [number, string | undefined]) : null;
  });
  const found = await seen.jsonValue();
  assert.ok(found !== null);
  return found;
}

async function picture(page: Page, name: string): Promise<void> {
  const path = join(PICTURES, `${name}.png`);
  await page.screenshot({ path });
  assert.ok(statSync(path).size <= LARGEST_PICTURE, `${name}: ${statSync(path).size} bytes`);
}

async function downloaded(page: Page, label: string): Promise<Buffer> {
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator(".downloads").getByText(label, { exact: true }).click()]);
  return readFileSync(await file.path());
}

/** Each download is, byte for byte, what the API has at `place`. */
async function filesAreThoseOf(page: Page, place: string): Promise<void> {
  for (const [label, file] of [["MIDI", "midi"], ["MusicXML", "musicxml"], ["WAV", "wav"]] as const) {
    const told = Buffer.from(await (await fetch(`${place}/${file}`)).arrayBuffer());
    assert.ok(told.length > 0 && (await downloaded(page, label)).equals(told), `${label} is what ${place} says`);
  }
}

test("compose, listen, mute, infill, undo, download", { timeout: 300_000 }, async () => {
  const { page, complaints } = await visit(browser, url);
  await giveEar(page);

  await page.fill("#prompt", PROMPT);
  await page.waitForSelector('.chip[data-wish="tempo"].read');
  assert.equal(await page.inputValue('.chip[data-wish="tempo"] input'), "112");
  await page.fill('.chip[data-wish="seconds"] input', String(SECONDS));
  await page.keyboard.press("Tab");
  const [answer] = await Promise.all([page.waitForResponse((one) => one.url().endsWith("/v1/compositions")), page.click(".composer .primary")]);
  const job = (await answer.json()) as { id: string };
  await page.waitForSelector('.take[aria-pressed="true"][data-status="running"]');
  const [early, status] = await firstNotes(page);
  assert.equal(status, "running", "notes are there before the end");
  await takeDone(page);
  const whole = await notesShown(page);
  assert.ok(early < whole, `${early} notes early, ${whole} in the end`);

  await page.click(".play");
  await waitForSound(page);
  const tracks = await page.locator(".strip").count();
  for (let track = 0; track < tracks; track++) await page.locator(".strip .mute").nth(track).click();
  await waitForSilence(page);
  for (let track = 0; track < tracks; track++) await page.keyboard.press("Control+z");
  await waitForSound(page);
  await page.locator(".strip .mute").nth(0).click();
  await page.waitForSelector('.strip .mute[aria-pressed="true"]');

  await dragOnRuler(page, 0.3, 0.5);
  await page.waitForSelector(".rework");
  await picture(page, "studio");
  const [first, last] = await Promise.all([0, 1].map((at) => page.locator('.rework input[type="number"]').nth(at).inputValue()));
  const [asked] = await Promise.all([page.waitForRequest((one) => one.url().endsWith("/v1/edits")), page.click(".rework .primary")]);
  const body = asked.postDataJSON() as { kind: string; bars: [number, number]; source: unknown };
  assert.deepEqual([body.kind, body.bars, body.source], ["infill", [Number(first), Number(last)], { job: job.id, take: 0 }]);
  assert.ok(Number(first) > 1 && Number(last) > Number(first));
  await page.waitForFunction(() => document.querySelectorAll(".tree ul .tree-row").length === 1); // it hangs under the piece
  await takeDone(page);

  await page.keyboard.press("Control+z");
  await page.waitForSelector(`.tree > li > .tree-row .pill[aria-pressed="true"]`);
  assert.equal(await notesShown(page), whole, "undo goes back to the piece before");

  await filesAreThoseOf(page, `${url}/v1/jobs/${job.id}/takes/0`);
  await page.getByRole("button", { name: "Staff" }).click();
  await page.waitForSelector(".paper svg");
  await page.getByRole("button", { name: "Roll" }).click();

  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.locator(".stage").evaluate((stage) => stage.scrollIntoView());
  await page.waitForTimeout(100); // a few frames, in which the roll is drawn anew
  await picture(page, "studio-phone");

  const sent: Promise<{ id: string }>[] = [];
  page.on("response", (one) => one.request().method() === "POST" && /\/v1\/uploads/.test(one.url()) && sent.push(one.json() as Promise<{ id: string }>));
  await page.locator("#roll").focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("ArrowUp");
  await page.waitForSelector('.pill[aria-label="Take 1, edited, done"]');
  await page.getByRole("button", { name: "Staff" }).click();
  await page.waitForSelector(".paper svg");
  await page.waitForFunction(() => document.querySelector(".staff-note")?.textContent === "");
  const [upload] = await Promise.all(sent);
  await filesAreThoseOf(page, `${url}/v1/uploads/${upload?.id}`);
  assert.equal(sent.length, 1, "an edited piece is sent once");
  assert.deepEqual(complaints, []);
});
