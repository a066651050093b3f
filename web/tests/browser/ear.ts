/** Listens to what a page plays. */

import type { Page } from "playwright-core";

declare global {
  interface Window {
    ear?: AnalyserNode;
  }
}

/** Taps everything that is connected to the loudspeakers, from the next page load on. */
export async function giveEar(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const connect = AudioNode.prototype.connect as (this: AudioNode, to: AudioNode | AudioParam, ...rest: number[]) => AudioNode;
    AudioNode.prototype.connect = function (this: AudioNode, to: AudioNode | AudioParam, ...rest: number[]) {
      if (to instanceof AudioDestinationNode) {
        window.ear ??= new AnalyserNode(to.context, { fftSize: 8192 });
        connect.call(this, window.ear, ...rest.slice(0, 1));
      }
      return connect.call(this, to, ...rest);
    } as typeof AudioNode.prototype.connect;
  });
  await page.reload();
  await page.waitForSelector(".composer");
}

/** The loudest sample, 0 to 1, of the last sixth of a second. */
export function loudness(page: Page): Promise<number> {
  return page.evaluate(() => {
    const samples = new Float32Array(8192);
    window.ear?.getFloatTimeDomainData(samples);
    return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  });
}

export async function waitForSound(page: Page): Promise<void> {
  for (let tries = 0; (await loudness(page)) < 0.005; tries++) {
    if (tries > 200) throw new Error(`nothing sounds: ${await page.innerText(".transport")}`);
    await page.waitForTimeout(50);
  }
}

export async function waitForSilence(page: Page): Promise<void> {
  for (let tries = 0; (await loudness(page)) > 0.0005; tries++) {
    if (tries > 120) throw new Error(`still sounds: ${await loudness(page)}`);
    await page.waitForTimeout(50);
  }
}
