/** `npm run measure`: first paint, and frames a second of the roll with 5,000 notes, in headless Chromium. Prints a JSON object. */

import { openBrowser, visit } from "./browser/browser";
import { standIn } from "./stand-in/server";

const FRAMES = 180;
const VISITS = 5;
/** Shorter callbacks of a frame only move the playhead. */
const DRAWING_MS = 0.3;

const service = await standIn({ font: false });
const browser = await openBrowser();
const paints: number[] = [];
for (let round = 0; round < VISITS; round++) {
  const { page } = await visit(browser, service.url);
  await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
  paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0));
  await page.context().close();
}

const { page } = await visit(browser, service.url);
await page.fill("#prompt", "a huge song");
await page.locator('select[aria-label="Takes"]').selectOption("1");
await page.click(".composer .primary");
await page.waitForSelector('.take[data-status="done"]');
await page.waitForTimeout(500);
const notes = Number(await page.getAttribute("#roll", "data-notes"));

/** Moves the roll in each frame by a wheel event; `drawing_ms`: 95 % of the redraws took at most so long. */
const moved = async (ctrlKey: boolean): Promise<{ fps: number; longest_ms: number; drawing_ms: number }> =>
  page.evaluate(
    async ([count, zooming, LEAST_MS]) => {
      const canvas = document.querySelector(".roll-music") as HTMLCanvasElement;
      const times: number[] = [];
      const drawing: number[] = [];
      const ask = window.requestAnimationFrame.bind(window);
      window.requestAnimationFrame = (work) =>
        ask((time) => {
          const begun = performance.now();
          work(time);
          drawing.push(performance.now() - begun);
        });
      for (let frame = 0; frame < count; frame++) {
        const forth = Math.floor(frame / 30) % 2 === 0 ? 1 : -1;
        canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: zooming ? -20 * forth : 4 * forth, deltaX: zooming ? 0 : 12 * forth, ctrlKey: zooming, clientX: 700, clientY: 400, cancelable: true }));
        times.push(await new Promise<number>((resolve) => ask(resolve)));
      }
      const gaps = times.slice(1).map((time, at) => time - (times[at] ?? 0));
      window.requestAnimationFrame = ask;
      const drawn = drawing.filter((took) => took > LEAST_MS).sort((left, right) => left - right);
      const most = drawn[Math.floor(0.95 * drawn.length)] ?? 0;
      return { drawing_ms: most, fps: (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0), longest_ms: Math.max(...gaps) };
    },
    [FRAMES, ctrlKey, DRAWING_MS] as const,
  );

const whole = await moved(false);
const zooming = await moved(true);
await page.locator("#roll").focus();
await page.keyboard.press(" ");
await page.waitForTimeout(300);
const playing = await moved(false);
console.log(JSON.stringify({ first_paint_ms: paints.map(Math.round), notes, scrolling: whole, zooming, playing_and_scrolling: playing }, null, 1));
await browser.close();
await service.close();
