/** The wishes as chips: what the service understood from the prompt, each of which can be set by hand. */

import * as api from "../api";
import type { App } from "../app";
import { h, iconButton } from "./dom";

type WishName = "tempo" | "key" | "metre" | "with" | "only" | "without" | "density" | "bars" | "scale" | "loop";
type FieldName = WishName | "seconds";

interface Field {
  readonly name: FieldName;
  readonly label: string;
  readonly unit?: string;
  readonly hint: string;
  readonly options?: readonly string[];
  readonly usual: boolean;
}

const FIELDS: readonly Field[] = [
  { name: "tempo", label: "Tempo", unit: "bpm", hint: "any", usual: true },
  { name: "key", label: "Key", hint: "any", usual: true },
  { name: "metre", label: "Metre", hint: "any", usual: true },
  { name: "seconds", label: "Length", unit: "s", hint: "30", usual: true },
  { name: "with", label: "With", hint: "any instruments", usual: true },
  { name: "only", label: "Only", hint: "piano, bass", usual: false },
  { name: "without", label: "Without", hint: "drums", usual: false },
  { name: "density", label: "Density", hint: "any", options: ["sparse", "medium", "dense"], usual: false },
  { name: "bars", label: "Bars", hint: "any", usual: false },
  { name: "scale", label: "Scale", hint: "A blues", usual: false },
  { name: "loop", label: "Loop", hint: "no", options: ["yes"], usual: false },
];
const NUMBERS = new Set<FieldName>(["tempo", "bars", "seconds"]);
const PAUSE_MS = 300;

interface Chip {
  readonly field: Field;
  readonly element: HTMLElement;
  readonly input: HTMLInputElement | HTMLSelectElement;
}

export function makeChips(app: App): { element: HTMLElement; render(): void } {
  const { store } = app;
  let problem = "";
  let asked = "";
  let asking: AbortController | null = null;
  let timer = 0;
  let all = false;

  const chips = FIELDS.map((field) => makeChip(app, field));
  const more = h("button", { type: "button", className: "chip-more", onclick: () => ((all = !all), render()) });
  const note = h("p", { className: "chip-note", aria: { live: "polite" } });
  const list = h("div", { className: "chips", aria: { label: "Wishes" } }, ...chips.map((chip) => chip.element), more);
  list.setAttribute("role", "group");

  const ask = async (): Promise<void> => {
    asking?.abort();
    const mine = (asking = new AbortController());
    const { prompt, wishes, seconds } = store.document;
    if (prompt.trim() === "") [store.plan, problem] = [null, ""];
    else {
      try {
        const body: api.Composition = seconds === null ? { prompt, wishes } : { prompt, wishes, seconds };
        [store.plan, problem] = [await api.plan(body, mine.signal), ""];
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof api.ApiError)) throw error;
        problem = error.status === 0 ? "" : error.message;
      }
    }
    render();
  };

  const render = (): void => {
    const { prompt, wishes, seconds } = store.document;
    const question = JSON.stringify([prompt, wishes, seconds]);
    if (question !== asked) {
      asked = question;
      window.clearTimeout(timer);
      timer = window.setTimeout(() => void ask(), PAUSE_MS);
    }
    const only = ownValue(app, "only") || understood(store.plan, "only");
    for (const chip of chips) {
      const { name } = chip.field;
      show(chip, ownValue(app, name), understood(store.plan, name), all, name === "with" && only !== "");
    }
    more.textContent = all ? "fewer wishes" : "more wishes …";
    note.textContent = problem;
    note.hidden = problem === "";
  };
  return { element: h("div", {}, list, note), render };
}

function makeChip(app: App, field: Field): Chip {
  const set = (text: string): void => setOwn(app, field.name, text);
  const input =
    field.options === undefined
      ? h("input", { type: "text", placeholder: field.hint, autocomplete: "off", spellcheck: false })
      : h("select", {}, h("option", { value: "" }, field.hint), ...field.options.map((option) => h("option", { value: option }, option)));
  input.setAttribute("aria-label", field.label);
  if (NUMBERS.has(field.name)) input.setAttribute("inputmode", "numeric");
  input.addEventListener("change", () => set(input.value.trim()));
  const reset = iconButton("close", `Take back your wish for ${field.label.toLowerCase()}`, () => set(""));
  const unit = field.unit === undefined ? null : h("span", { className: "chip-unit" }, field.unit);
  const element = h("label", { className: "chip", data: { wish: field.name } }, h("span", {}, field.label), input, unit, reset);
  return { field, element, input };
}

/** `settled`: "only" says all instruments, so "with" has nothing to add. */
function show({ field, element, input }: Chip, own: string, read: string, all: boolean, settled: boolean): void {
  element.hidden = !((field.usual && !settled) || all || own !== "" || read !== "");
  element.classList.toggle("own", own !== "");
  element.classList.toggle("read", own === "" && read !== "");
  element.title = own !== "" ? "Set by you" : read !== "" ? "Understood from the prompt" : "No wish: the model decides";
  if (document.activeElement === input) return;
  input.value = own || read;
  if (input instanceof HTMLInputElement) input.size = Math.min(26, Math.max(3, (input.value || field.hint).length));
}

function ownValue(app: App, name: FieldName): string {
  const { wishes, seconds } = app.store.document;
  const value = name === "seconds" ? seconds : wishes[name];
  return value === undefined || value === null || value === false ? "" : value === true ? "yes" : String(value);
}

function understood(plan: api.Plan | null, name: FieldName): string {
  const value = name === "seconds" ? plan?.seconds : plan?.wishes[name];
  if (value === undefined || value === null || value === false) return "";
  return value === true ? "yes" : typeof value === "number" ? String(Math.round(value * 10) / 10) : value;
}

function setOwn(app: App, name: FieldName, text: string): void {
  const { store } = app;
  const number = Number(text);
  if (name === "seconds") {
    store.change({ seconds: text === "auto" ? "auto" : text === "" || Number.isNaN(number) ? null : number });
    return;
  }
  const wishes: api.Wishes = { ...store.document.wishes };
  delete wishes[name];
  if (name === "only") delete wishes.with;
  if (name === "with") delete wishes.only;
  if (text !== "" && (name === "tempo" || name === "bars")) {
    if (!Number.isNaN(number)) wishes[name] = number;
  } else if (text !== "" && name === "loop") wishes.loop = true;
  else if (text !== "" && name !== "tempo" && name !== "bars" && name !== "loop") wishes[name] = text;
  store.change({ wishes });
}
