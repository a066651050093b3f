/** The list of shortcuts, in a dialog. */

import { SHORTCUTS } from "../keys";
import { h } from "./dom";

export function makeHelp(): { element: HTMLDialogElement; open(): void } {
  const rows = SHORTCUTS.flatMap(({ keys, does }) => [h("dt", {}, keys), h("dd", {}, does)]);
  const close = h("form", { method: "dialog" }, h("button", { type: "submit", className: "primary" }, "Close"));
  const element = h("dialog", { className: "help", aria: { label: "Shortcuts" } }, h("h2", {}, "Shortcuts"), h("dl", {}, ...rows), close);
  return { element, open: () => element.showModal() };
}
