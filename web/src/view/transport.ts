/** The bar at the bottom: play, stop, the time, what the piece is, what sounds, and the files. */

import { endOfSound, gridOf, type App } from "../app";
import type { Piece } from "../music/piece";
import { makeDownloads } from "./downloads";
import { clock, h, icon, iconButton, say } from "./dom";

export function makeTransport(app: App): { element: HTMLElement; render(): void } {
  const { player, store } = app;
  const play = h("button", { type: "button", className: "play", onclick: () => void player.toggle() });
  const stop = iconButton("stop", "Stop (back to the start)", () => player.stop());
  const [bar, place] = [h("span", { className: "time-bar" }), h("span")];
  const time = h("output", { className: "time", aria: { label: "Position", live: "off" } }, bar, place);
  const facts = h("span", { className: "facts" });
  const sound = h("span", { className: "sound" });
  const downloads = makeDownloads(app);
  const element = h("footer", { className: "transport" }, h("div", { className: "row" }, stop, play, time), facts, sound, downloads.element);
  let playing: boolean | null = null;
  const showTime = (): void => {
    const piece = store.shown;
    const position = player.position;
    say(bar, piece === null ? "" : `bar ${gridOf(store, piece).barAt(position) + 1} · `);
    say(place, `${clock(position)} / ${clock(piece === null ? 0 : endOfSound(store, piece))}`);
    if (player.playing) requestAnimationFrame(showTime);
  };
  return {
    element,
    render: () => {
      if (playing !== player.playing) {
        playing = player.playing;
        play.replaceChildren(icon(playing ? "pause" : "play"));
        play.setAttribute("aria-label", playing ? "Pause" : "Play");
        play.title = playing ? "Pause (Space)" : "Play (Space)";
      }
      const piece = store.shown;
      play.disabled = stop.disabled = piece === null || store.tracksOf(piece).length === 0;
      facts.textContent = facts.title = piece === null ? "" : describe(piece);
      sound.textContent = player.soundName;
      showTime();
      downloads.render();
    },
  };
}

function describe({ about, seed }: Piece): string {
  if (about === null) return "";
  const facts = [`${Math.round(about.tempo)} bpm`, about.metre, about.key, seed === null ? null : `seed ${seed}`];
  const missed = about.findings.filter(({ met }) => met === false).map(({ wish, asked, found }) => `✗ ${wish} ${asked}: ${found}`);
  return [...facts.filter((fact) => fact !== null), ...missed].join("  ·  ");
}
