/** What state the studio is in, where it needs saying: offline, a key is needed, a request failed, nothing there yet. */

import { setApiKey } from "../api";
import type { App } from "../app";
import type { Piece } from "../music/piece";
import { h, iconButton, say } from "./dom";

export function makeBanner(app: App): { element: HTMLElement; render(): void } {
  const { work } = app;
  const text = h("span");
  const key = h("input", { type: "password", placeholder: "API key", autocomplete: "off", aria: { label: "API key" } });
  const keyForm = h("form", { className: "row" }, key, h("button", { type: "submit" }, "Use this key"));
  keyForm.onsubmit = (event) => {
    event.preventDefault();
    setApiKey(key.value.trim());
    location.reload();
  };
  const close = iconButton("close", "Dismiss", () => work.dismiss());
  const element = h("div", { className: "banner" }, text, keyForm, close);
  element.setAttribute("role", "alert");
  return {
    element,
    render: () => {
      const message = work.online ? work.problem : "Offline: the service cannot be reached. Playing and editing go on; trying again …";
      say(text, message);
      element.hidden = message === "" && !work.needsKey;
      element.dataset["kind"] = work.online ? "failed" : "offline";
      keyForm.hidden = !work.needsKey;
      close.hidden = !work.online;
    },
  };
}

/** The words over the roll while there are no notes in it. */
export function makePlaceholder(app: App): { element: HTMLElement; render(): void } {
  const element = h("div", { className: "placeholder", aria: { live: "polite" } });
  return {
    element,
    render: () => {
      const piece = app.store.shown;
      const words = piece === null ? "Describe some music, or take an example, and compose." : wordsFor(piece);
      const empty = piece === null || app.store.tracksOf(piece).length === 0;
      element.hidden = !empty || words === "";
      say(element, words);
      element.dataset["status"] = piece?.status ?? "empty";
    },
  };
}

function wordsFor(piece: Piece): string {
  if (piece.status === "queued") return "Waiting for its turn …";
  if (piece.status === "running") return "Listening for the first notes …";
  if (piece.status === "failed") return `This take failed. ${piece.problem} Compose again, or change the prompt.`;
  return piece.status === "cancelled" ? "This take was cancelled." : "";
}
