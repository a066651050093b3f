/** A headless Chromium with the studio in it, and the complaints it made. */

import { existsSync } from "node:fs";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

/** It draws without a GPU, and asks nothing of the network but the pages; Playwright adds more such, and an empty profile. */
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--autoplay-policy=no-user-gesture-required",
];
const PLACES = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function openBrowser(): Promise<Browser> {
  const executablePath = PLACES.find((path) => path !== undefined && existsSync(path));
  if (executablePath === undefined) throw new Error("no Chromium found; install one (apt-get install chromium) or set CHROMIUM");
  return chromium.launch({ executablePath, args: FLAGS });
}

export interface Visit {
  readonly page: Page;
  /** Errors and warnings of the console, and uncaught exceptions. */
  readonly complaints: string[];
}

export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "dark", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints: string[] = [];
  page.on("console", (message) => {
    const { url: about } = message.location();
    // a service without a sound font answers 404, and Chromium writes that down itself
    if (about.endsWith("/v1/soundfont")) return;
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()} (${about})`);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  await page.waitForSelector(".composer");
  return { page, complaints };
}

/** The number of notes in the roll. */
export async function notesShown(page: Page): Promise<number> {
  return Number(await page.getAttribute("#roll", "data-notes"));
}

/** Waits until the shown take is finished and in the roll; looks once a frame. */
export async function takeDone(page: Page): Promise<void> {
  await page.waitForFunction(
    () => document.querySelector('.take[aria-pressed="true"][data-status="done"]') !== null && Number(document.getElementById("roll")?.dataset["notes"]) > 0,
    null,
    { timeout: 120_000 },
  );
}

export async function waitForNotes(page: Page, count: number): Promise<void> {
  await page.waitForFunction((least) => Number(document.getElementById("roll")?.dataset["notes"]) >= least, count);
}
