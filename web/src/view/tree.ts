/** The tree of takes: every request with its takes, and below it what was made from them. */

import type { App } from "../app";
import type { Piece } from "../music/piece";
import { isGoing } from "../work";
import { h, iconButton, whenChanged } from "./dom";

interface Branch {
  readonly pieces: Piece[];
  readonly children: Branch[];
}

export function makeTree(app: App): { element: HTMLElement; render(): void } {
  const { store } = app;
  const list = h("ul", { className: "tree" });
  const empty = h("p", { className: "hint" }, "Every take you compose or change is kept here, with its prompt, seed and parent.");
  const element = h("section", { className: "history", aria: { label: "Takes tree" } }, h("h2", {}, "Takes"), list, empty);
  const rebuild = whenChanged(() => {
    const branches = grow(store.remembered);
    list.replaceChildren(...branches.map((branch) => item(app, branch)));
    empty.hidden = branches.length > 0;
  });
  return {
    element,
    render: () => {
      const states = store.remembered.map((piece) => piece.id + piece.status + String(store.isEdited(piece)));
      rebuild(states.join(" "), store.document.shown);
    },
  };
}

/** Pieces by request, newest first; a request hangs under the one that its parent belongs to. */
export function grow(pieces: readonly Piece[]): Branch[] {
  const branches = new Map<string, Branch>();
  for (const piece of [...pieces].sort((left, right) => left.take - right.take)) {
    const branch = branches.get(piece.job ?? piece.id) ?? { pieces: [], children: [] };
    branch.pieces.push(piece);
    branches.set(piece.job ?? piece.id, branch);
  }
  const roots: Branch[] = [];
  const parentOf = new Map(pieces.map((piece) => [piece.id, piece.job ?? piece.id]));
  for (const branch of branches.values()) {
    const parent = branches.get(parentOf.get(branch.pieces[0]?.parent ?? "") ?? "");
    (parent?.children ?? roots).push(branch);
  }
  const newest = (left: Branch, right: Branch): number => (right.pieces[0]?.created ?? 0) - (left.pieces[0]?.created ?? 0);
  for (const branch of branches.values()) branch.children.sort(newest);
  return roots.sort(newest);
}

function item(app: App, branch: Branch): HTMLElement {
  const { store } = app;
  const first = branch.pieces[0];
  const from = first?.parent === null || first === undefined ? "" : ` of take ${Number(first.parent.split("/").at(-1)) + 1}`;
  const kind = first === undefined || first.kind === "compose" ? "" : first.kind === "file" ? "file" : first.kind + from;
  const pills = branch.pieces.map((piece) => pill(app, piece));
  const forget = iconButton("close", `Forget ${first?.prompt ?? ""}`, () => store.forget(branch.pieces.map((piece) => piece.id)));
  forget.hidden = branch.pieces.some(isGoing);
  const head = h(
    "div",
    { className: "tree-head" },
    kind === "" ? null : h("span", { className: "tree-kind" }, kind),
    h("span", { className: "tree-prompt", title: first?.prompt ?? "" }, first?.prompt ?? ""),
    forget,
  );
  const row = h("div", { className: "tree-row" }, head, h("div", { className: "pills" }, ...pills));
  const children = branch.children.length === 0 ? null : h("ul", {}, ...branch.children.map((child) => item(app, child)));
  return h("li", {}, row, children);
}

function pill(app: App, piece: Piece): HTMLElement {
  const { store } = app;
  const edited = store.isEdited(piece) ? ", edited" : "";
  const seed = piece.seed === null ? "" : ` · seed ${piece.seed}`;
  const button = h(
    "button",
    {
      type: "button", className: "pill", title: `${piece.prompt}${seed}${edited} (${piece.status})${piece.problem && `: ${piece.problem}`}`,
      data: { status: piece.status },
      onclick: () => store.show(piece.id, piece.kind === "file" ? {} : { prompt: piece.prompt }),
    },
    `${piece.take + 1}${edited === "" ? "" : "*"}`,
  );
  button.setAttribute("aria-label", `Take ${piece.take + 1}${edited}, ${piece.status}`);
  button.setAttribute("aria-pressed", String(piece.id === store.document.shown));
  return button;
}
