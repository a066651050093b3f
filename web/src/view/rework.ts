/** Making something new from the piece in the roll: continue, infill, replace, accompany, vary. */

import type { EditKind } from "../api";
import type { App } from "../app";
import type { Piece } from "../music/piece";
import { isGoing, type EditWish } from "../work";
import { h, whenChanged } from "./dom";

const KINDS: readonly (readonly [EditKind, string, string])[] = [
  ["continue", "Continue", "Go on where the piece ends"],
  ["infill", "Infill", "Compose the selected bars anew"],
  ["replace", "Replace", "Give the selected track to another instrument"],
  ["accompany", "Accompany", "Compose more parts to the music"],
  ["vary", "Vary", "Another version of the piece"],
];

interface Fields {
  readonly elements: readonly HTMLElement[];
  /** What to ask for; null where something is missing. */
  wish(): Omit<EditWish, "prompt" | "takes"> | null;
}

export function makeRework(app: App): { element: HTMLElement; form: HTMLElement; render(): void } {
  const { store, work } = app;
  let open: EditKind | null = null;
  let fields: Fields = { elements: [], wish: () => null };
  const buttons = KINDS.map(([kind, label, title]) => {
    const onclick = (): void => {
      open = open === kind ? null : kind;
      if (open === null && kind === "infill") store.select({ bars: null });
      render();
    };
    return [kind, h("button", { type: "button", title, onclick, data: { edit: kind } }, label)] as const;
  });
  const prompt = h("input", { type: "text", className: "rework-prompt", placeholder: "in words (optional)", aria: { label: "Prompt of the change" } });
  const go = h("button", { type: "submit", className: "primary" });
  const slot = h("span", { className: "rework-fields" });
  const form = h("form", { className: "rework", aria: { label: "Change the piece" } }, slot, prompt, go);
  form.onsubmit = (event) => {
    event.preventDefault();
    const wish = fields.wish();
    const piece = store.shown;
    if (wish === null || piece === null) return;
    const words = prompt.value.trim() === "" ? {} : { prompt: prompt.value.trim() };
    open = null;
    void work.edit(piece, { ...wish, ...words, takes: store.document.takes });
    render();
  };
  const refill = whenChanged(() => {
    fields = open === null || store.shown === null ? { elements: [], wish: () => null } : fieldsOf(app, open, store.shown);
    slot.replaceChildren(...fields.elements);
    go.textContent = KINDS.find(([kind]) => kind === open)?.[1] ?? "";
  });
  const openForBars = whenChanged(() => void (open = store.document.bars !== null ? "infill" : open === "infill" ? null : open));
  const openForTrack = whenChanged(() => void (open = store.document.track !== null ? "replace" : open === "replace" ? null : open));

  const render = (): void => {
    const { bars, track } = store.document;
    const piece = store.shown;
    const ready = piece !== null && !isGoing(piece) && store.tracksOf(piece).length > 0;
    openForTrack(track);
    openForBars(bars?.join());
    if (!ready) open = null;
    refill(open, piece?.id, bars?.join(), track);
    for (const [kind, button] of buttons) {
      button.disabled = !ready || work.asking || !work.online;
      button.setAttribute("aria-pressed", String(kind === open));
    }
    go.disabled = work.asking || !work.online;
    form.hidden = open === null;
  };
  const element = h("div", { className: "segments", aria: { label: "Change the piece" } }, ...buttons.map(([, button]) => button));
  element.setAttribute("role", "group");
  return { element, form, render };
}

function fieldsOf(app: App, kind: EditKind, piece: Piece): Fields {
  const { bars, track } = app.store.document;
  const tracks = app.store.tracksOf(piece);
  const [chosen] = track === null ? tracks.slice(-1) : [tracks[track]];
  switch (kind) {
    case "continue": {
      const seconds = number("by", 15, 1, 300, "seconds");
      return { elements: [seconds.label], wish: () => ({ kind, seconds: Number(seconds.input.value) }) };
    }
    case "infill": {
      const [from, to] = [(bars?.[0] ?? 0) + 1, (bars?.[1] ?? 0) + 1];
      const [first, last] = [number("bars", from, 1, 2000), number("to", to, 1, 2000)];
      const parts = words("parts", track === null ? "" : (chosen?.name ?? ""), "all parts");
      const wish = (): ReturnType<Fields["wish"]> => ({
        kind,
        bars: [Number(first.input.value), Math.max(Number(first.input.value), Number(last.input.value))],
        ...(parts.input.value.trim() === "" ? {} : { instruments: parts.input.value.trim() }),
      });
      return { elements: [first.label, last.label, parts.label], wish };
    }
    case "replace": {
      const part = words("part", chosen?.name ?? "", "piano");
      const by = words("by", "", "the same, anew");
      const wish = (): ReturnType<Fields["wish"]> =>
        part.input.value.trim() === ""
          ? null
          : { kind, instrument: part.input.value.trim(), ...(by.input.value.trim() === "" ? {} : { by: by.input.value.trim() }) };
      return { elements: [part.label, by.label], wish };
    }
    case "accompany": {
      const parts = words("with", "bass, drums", "bass, drums");
      return { elements: [parts.label], wish: () => ({ kind, instruments: parts.input.value.trim() || "bass, drums" }) };
    }
    case "vary": {
      const strength = number("strength", 0.5, 0.1, 1, "", "0.1");
      return { elements: [strength.label], wish: () => ({ kind, strength: Number(strength.input.value) }) };
    }
  }
}

type Labelled = { readonly label: HTMLElement; readonly input: HTMLInputElement };

function number(name: string, value: number, min: number, max: number, unit = "", step = "1"): Labelled {
  const input = h("input", { type: "number", min: String(min), max: String(max), step, value: String(value) });
  return { label: h("label", {}, name, input, unit), input };
}

function words(name: string, value: string, placeholder: string): Labelled {
  const input = h("input", { type: "text", value, placeholder, className: "words" });
  return { label: h("label", {}, name, input), input };
}
