/** A headless Chromium with the studio in it, and the complaints it made. */

import { existsSync } from "node:fs";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const PLACES = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function openBrowser(): Promise<Browser> {
  const executablePath = PLACES.find((path) => path !== undefined && existsSync(path));
  if (executablePath === undefined) throw new Error("no Chromium found; install one (apt-get install chromium) or set CHROMIUM");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"] });
}

export interface Visit {
  readonly page: Page;
  /** Errors and warnings of the console, and uncaught exceptions. */
  readonly complaints: string[];
}

export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "dark", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
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

export async function waitForNotes(page: Page, count: number): Promise<void> {
  await page.waitForFunction((least) => Number(document.getElementById("roll")?.dataset["notes"]) >= least, count);
}
