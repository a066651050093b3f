/** The studio's manners, against the stand-in: editing by hand, states, history, keyboard, phone, names. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { readMidi } from "../../src/music/midi-reader";
import { standIn, type StandIn } from "../stand-in/server";
import { notesShown, openBrowser, takeDone, visit, waitForNotes, type Visit } from "./browser";
import { giveEar, waitForSound } from "./ear";

let browser: Browser;
let service: StandIn;
let open: Visit[] = [];

before(async () => void (browser = await openBrowser()));
after(async () => browser.close());
beforeEach(async () => void (service = await standIn({ font: false })));
afterEach(async () => {
  for (const { page } of open) await page.context().close();
  open = [];
  await service.close();
});

async function enter(options: Parameters<typeof visit>[2] = {}): Promise<Visit> {
  const entered = await visit(browser, service.url, options);
  open.push(entered);
  return entered;
}

async function compose(page: Page, prompt: string): Promise<void> {
  await page.fill("#prompt", prompt);
  await page.click(".composer .primary");
  await takeDone(page);
}

async function isNotes(page: Page, count: number): Promise<void> {
  await page.waitForFunction((wanted) => Number(document.getElementById("roll")?.dataset["notes"]) === wanted, count);
}

async function midi(page: Page): Promise<ReturnType<typeof readMidi>> {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click('.downloads [data-file="midi"]')]);
  return readMidi(readFileSync(await file.path()));
}

test("it sounds without a sound font", async () => {
  const { page } = await enter();
  await giveEar(page);
  await compose(page, "a song");
  await page.keyboard.press("Escape");
  await page.locator("#roll").focus();
  await page.keyboard.press(" ");
  await waitForSound(page);
  assert.equal(await page.textContent(".sound"), "Built-in synthesizer");
});

test("notes are selected, transposed, moved, deleted and added, and all of it undone", async () => {
  const { page, complaints } = await enter();
  await compose(page, "a song");
  const before = await notesShown(page);
  const whole = await midi(page);
  await page.locator(".strip-choose").nth(0).click();
  await page.locator("#roll").focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("ArrowUp");
  const up = await midi(page);
  const pitches = (music: typeof whole): number[] => music.tracks[0]?.notes.map((note) => note.pitch) ?? [];
  assert.deepEqual(pitches(up), pitches(whole).map((pitch) => pitch + 1));
  await page.keyboard.press("ArrowRight");
  const later = await midi(page);
  assert.ok(Math.abs((later.tracks[0]?.notes[0]?.start ?? 0) - 60 / 112 / 4) < 0.002);
  await page.locator("#roll").focus();
  await page.keyboard.press("Delete");
  await isNotes(page, before - pitches(whole).length);
  const box = await page.locator("#roll").boundingBox();
  assert.ok(box !== null);
  await page.mouse.dblclick(box.x + 400, box.y + 60);
  await isNotes(page, before - pitches(whole).length + 1);
  for (let step = 0; step < 4; step++) await page.keyboard.press("Control+z");
  await isNotes(page, before);
  assert.deepEqual(await midi(page), whole);
  await page.keyboard.press("Control+Shift+z");
  assert.deepEqual(pitches(await midi(page)), pitches(up));
  assert.deepEqual(complaints, []);
});

test("a piece edited by hand is uploaded before it is worked on", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  await page.locator(".strip-program").nth(0).selectOption("11");
  await page.click('[data-edit="continue"]');
  await page.click(".rework .primary");
  await page.waitForFunction(() => document.querySelectorAll(".tree ul .tree-row").length === 1);
  assert.deepEqual(service.asked.at(-1)?.["source"], { upload: "upload1" });
  assert.equal(readMidi(new Uint8Array(service.uploads[0] ?? [])).tracks[0]?.instrument, 11);
});

test("a service that lost what it was sent is sent it again", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  service.forget();
  await page.click('[data-edit="vary"]');
  await page.click(".rework .primary");
  await page.waitForFunction(() => document.querySelectorAll(".tree ul .tree-row").length === 1);
  assert.deepEqual(service.asked.slice(-2).map((asked) => asked["source"]), [{ job: "job1", take: 0 }, { upload: "upload1" }]);
});

test("a job that begins again after a restart of the service begins again here", async () => {
  const { page } = await enter();
  await page.fill("#prompt", "a slow song");
  await page.click(".composer .primary");
  await waitForNotes(page, 100); // of several batches: the first one after the restart has fewer
  const early = await notesShown(page);
  service.restart();
  await page.waitForFunction((count) => Number(document.getElementById("roll")?.dataset["notes"]) < count, early);
  await page.locator(".take-cancel").first().click();
  await page.waitForSelector('.take[data-status="cancelled"]');
});

test("a piece is forgotten, and undo brings it back", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  const count = await notesShown(page);
  await page.locator(".tree-head .icon-button").click();
  await isNotes(page, 0);
  assert.equal(await page.locator(".tree-row").count(), 0);
  await page.keyboard.press("Control+z");
  await isNotes(page, count);
  await page.reload();
  await page.locator(".tree .pill").first().click();
  await isNotes(page, count);
  await page.locator(".tree-head .icon-button").click();
  await isNotes(page, 0);
  await page.reload();
  await page.waitForSelector(".composer");
  assert.equal(await page.locator(".tree-row").count(), 0);
});

test("a note after the end is played, and a stem is had without a mouse", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  const ends = async (): Promise<string> => ((await page.textContent(".time")) ?? "").split(" / ")[1] ?? "";
  const before = await ends();
  await page.locator(".strip-choose").nth(0).click();
  await page.locator("#roll").focus();
  await page.keyboard.press("Control+a");
  for (let step = 0; step < 8; step++) await page.keyboard.press("ArrowRight");
  await page.waitForFunction((last) => document.querySelector(".time")?.textContent?.endsWith(last) === false, before);
  assert.ok((await ends()) > before);
  await page.locator(".grip").nth(1).focus();
  const [stem] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  assert.deepEqual(readMidi(readFileSync(await stem.path())).tracks.map((track) => track.instrument), [33]);
});

test("a take is worked on while another one of its job is still being composed", async () => {
  const { page } = await enter();
  await compose(page, "a slow and uneven song");
  assert.equal(await page.locator('.take[data-status="running"]').count(), 1);
  await page.click('[data-edit="vary"]');
  await page.click(".rework .primary");
  await page.waitForFunction(() => document.querySelectorAll(".tree ul .tree-row").length === 1);
  assert.deepEqual(service.asked.at(-1)?.["source"], { upload: "upload1" });
});

test("a selected track is replaced", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  await page.locator(".strip-choose").nth(1).click();
  await page.locator(".rework .words").nth(1).fill("tuba");
  await page.click(".rework .primary");
  await page.waitForFunction(() => document.querySelectorAll(".tree ul .tree-row").length === 1);
  const { kind, instrument, by } = service.asked.at(-1) ?? {};
  assert.deepEqual([kind, instrument, by], ["replace", "Electric Bass (finger)", "tuba"]);
});

test("wishes set by hand are sent, and can be taken back", async () => {
  const { page } = await enter();
  await page.fill("#prompt", "a song in A minor");
  await page.waitForSelector('.chip[data-wish="key"].read');
  await page.fill('.chip[data-wish="tempo"] input', "96");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".tree-row").length === 1);
  assert.deepEqual(service.asked.at(-1)?.["wishes"], { tempo: 96 });
  assert.equal(service.asked.at(-1)?.["seconds"], undefined, "the length is left to the service");
  await page.locator('.chip[data-wish="tempo"] .icon-button').click();
  await page.waitForSelector('.chip[data-wish="tempo"]:not(.own)');
});

test("a refused request, a failed job and a lost service are said", async () => {
  const { page } = await enter();
  await page.fill("#prompt", "an impossible song");
  await page.click(".composer .primary");
  await page.getByText("A tempo of 900 bpm").waitFor();
  await page.fill("#prompt", "please fail");
  await page.click(".composer .primary");
  await page.getByText("The model ran out of ideas").waitFor();
  await page.context().setOffline(true);
  await page.fill("#prompt", "a song");
  await page.click(".composer .primary");
  await page.locator('.banner[data-kind="offline"]').waitFor();
  await page.context().setOffline(false);
  await page.locator(".banner").waitFor({ state: "hidden" });
});

test("without the service only what needs it is disabled", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  await page.context().setOffline(true);
  await page.click('.downloads [data-file="wav"]');
  await page.locator('.banner[data-kind="offline"]').waitFor();
  const disabled = (): Promise<string[]> =>
    page.evaluate(() => [...document.querySelectorAll<HTMLButtonElement>("button:disabled")].map((one) => one.textContent ?? ""));
  assert.deepEqual((await disabled()).filter(Boolean), ["Compose", "Continue", "Infill", "Replace", "Accompany", "Vary", "MIDI", "MusicXML", "WAV"]);
  await page.locator(".strip-program").nth(0).selectOption("11");
  await page.waitForSelector('.downloads [data-file="midi"]:enabled');
  assert.equal((await midi(page)).tracks[0]?.instrument, 11);
  await page.context().setOffline(false);
  await page.waitForSelector('.downloads [data-file="wav"]:enabled');
});

test("a key is asked for where the service wants one", async () => {
  await service.close();
  service = await standIn({ font: false, key: "open sesame" });
  const { page } = await enter();
  await page.fill("#prompt", "a song");
  await page.click(".composer .primary");
  await page.fill('.banner [aria-label="API key"]', "open sesame");
  await page.keyboard.press("Enter");
  await page.waitForLoadState("load");
  await page.waitForSelector(".composer");
  await compose(page, "a song");
  assert.equal(await page.locator(".banner").isVisible(), false);
});

test("one goes about in a take that is being composed, and cancels it", async () => {
  const { page } = await enter();
  await page.fill("#prompt", "a slow song");
  await page.click(".composer .primary");
  await waitForNotes(page, 1);
  await page.locator("#roll").click({ position: { x: 400, y: 10 } });
  await page.waitForFunction(() => !document.querySelector(".time")?.textContent?.includes(" 0:00.0 /"));
  await page.locator(".take-cancel").first().click();
  await page.waitForSelector('.take[data-status="cancelled"]');
});

test("the history outlives a reload", async () => {
  const { page } = await enter();
  await compose(page, "a song to keep");
  const count = await notesShown(page);
  await page.reload();
  await page.locator(".tree .pill").first().click();
  await isNotes(page, count);
  assert.equal(await page.inputValue("#prompt"), "a song to keep");
});

test("a MIDI file can be opened", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  const count = await notesShown(page);
  const [file] = await Promise.all([page.waitForEvent("download"), page.click('.downloads [data-file="midi"]')]);
  await page.setInputFiles('input[type="file"]', await file.path());
  await page.locator(".tree-kind", { hasText: "file" }).waitFor();
  await isNotes(page, count);
  await page.getByRole("button", { name: "Staff" }).click();
  await page.waitForSelector(".paper svg");
  const [score] = await Promise.all([page.waitForEvent("download"), page.click('.downloads [data-file="musicxml"]')]);
  assert.match(readFileSync(await score.path(), "utf8"), /<score-partwise/);
  assert.equal(service.uploads.length, 1, "a file that was opened is sent once");
});

test("the piece and its stems can be dragged out as MIDI files", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  const dragged = (selector: string): Promise<string> =>
    page.evaluate((chosen) => {
      const dataTransfer = new DataTransfer();
      document.querySelector(chosen)?.dispatchEvent(new DragEvent("dragstart", { dataTransfer }));
      return dataTransfer.getData("DownloadURL");
    }, selector);
  assert.equal(await dragged(".drag-out"), `audio/midi:a-song-1.mid:${service.url}/v1/jobs/job1/takes/0/midi`);
  const [, name, address] = /^audio\/midi:([^:]+):(.+)$/.exec(await dragged(".grip")) ?? [];
  assert.equal(name, "a-song-1-acoustic-grand-piano.mid");
  const bytes = await page.evaluate(async (url) => [...new Uint8Array(await (await fetch(url)).arrayBuffer())], address ?? "");
  assert.deepEqual(readMidi(Uint8Array.from(bytes)).tracks.map((track) => track.instrument), [0]);
});

test("everything fits a phone, and every control has a name", async () => {
  const { page, complaints } = await enter({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await compose(page, "a song");
  const stage = await page.locator(".stage").boundingBox();
  assert.ok(stage !== null && Math.abs(stage.y) < 200, `what is composed is seen: ${stage?.y}`);
  await page.click('[data-edit="infill"]');
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("button, input, select, textarea, [tabindex], [role]")]
      .filter((control) => control.offsetParent !== null)
      .filter((control) => !control.getAttribute("aria-label") && !control.innerText.trim() && control.closest("label") === null)
      .map((control) => control.outerHTML.slice(0, 120)),
  );
  assert.deepEqual(nameless, []);
  assert.deepEqual(complaints, []);
});

test("the keyboard reaches every control, and it is seen where it is", async () => {
  const { page } = await enter();
  await compose(page, "a song");
  await page.locator("h1").click();
  const controls = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("button:enabled, input, select:enabled, textarea, [tabindex]")].filter((one) => one.checkVisibility()).length,
  );
  const unseen: string[] = [];
  for (let stop = 0; stop < controls; stop++) {
    await page.keyboard.press("Tab");
    const seen = await page.evaluate(() => {
      const at = document.activeElement?.closest(".chip") ?? document.activeElement ?? document.body;
      return at === document.body || getComputedStyle(at).outlineStyle === "none" ? at.outerHTML.slice(0, 120) : "";
    });
    if (seen !== "") unseen.push(seen);
  }
  assert.deepEqual(unseen, []);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true, "no other stops");
});

test("light and dark", async () => {
  const { page } = await enter();
  const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.click('[aria-label="Light or dark"]');
  const light = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  await page.waitForSelector(".composer");
  assert.equal(await ground(), light);
});
