/** Building elements by name, properties and children; icons; times as text. */

type Child = Node | string | null | undefined | false;
type Properties<K extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[K], "style" | "dataset" | "children">
> & {
  readonly style?: string;
  readonly data?: Record<string, string>;
  readonly aria?: Record<string, string>;
};

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties<K> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { style, data, aria, ...rest } = properties;
  Object.assign(element, rest);
  if (style !== undefined) element.style.cssText = style;
  for (const [name, value] of Object.entries(data ?? {})) element.dataset[name] = value;
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children.filter((child): child is Node | string => child instanceof Node || typeof child === "string"));
  return element;
}

const ICONS = {
  play: "M6 4l14 8-14 8z",
  pause: "M6 4h4v16H6zM14 4h4v16h-4z",
  stop: "M6 6h12v12H6z",
  undo: "M9 5L4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3",
  redo: "M15 5l5 5-5 5M20 10H10a6 6 0 0 0 0 12h3",
  close: "M6 6l12 12M18 6L6 18",
  grip: "M9 5v.01M15 5v.01M9 12v.01M15 12v.01M9 19v.01M15 19v.01",
  moon: "M20 14A8 8 0 1 1 10 4a7 7 0 0 0 10 10z",
  open: "M4 19V6h6l2 2h8v11z",
  in: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM16 16l5 5M8 11h6M11 8v6",
  out: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM16 16l5 5M8 11h6",
  down: "M12 4v12M7 11l5 5 5-5M5 20h14",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 18v.01",
} as const;
export type Icon = keyof typeof ICONS;
const FILLED = new Set<Icon>(["play", "pause", "stop"]);

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", FILLED.has(name) ? "icon filled" : "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and is called `label`. */
export function iconButton(name: Icon, label: string, onclick: () => void): HTMLButtonElement {
  return h("button", { type: "button", className: "icon-button", title: label, aria: { label }, onclick }, icon(name));
}

/** Sets a text where it is another one: what is there already is not read out again. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Minutes, seconds and tenths: "1:05.2". */
export function clock(seconds: number): string {
  const tenths = Math.floor(seconds * 10 + 1e-6);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

/** Calls `work` only when one of the values differs from last time. */
export function whenChanged(work: () => void): (...values: unknown[]) => void {
  let before: unknown[] | null = null;
  return (...values) => {
    if (before !== null && before.length === values.length && before.every((value, at) => Object.is(value, values[at]))) return;
    before = values;
    work();
  };
}
