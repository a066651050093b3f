/** Puts the studio together. */

import "./style.css";
import { endOfSound, levels, type App } from "./app";
import { openHistory, type History } from "./history";
import { listenToKeys } from "./keys";
import { openFile } from "./open-file";
import { makeRoll } from "./roll/roll";
import { Player, type Played } from "./sound/player";
import { Store } from "./store";
import { makeBanner, makePlaceholder } from "./view/banner";
import { makeComposer } from "./view/composer";
import { h, iconButton } from "./view/dom";
import { makeHelp } from "./view/help";
import { makeMixer } from "./view/mixer";
import { makeRework } from "./view/rework";
import { makeStaff } from "./view/staff";
import { makeTakes } from "./view/takes";
import { startTheme, switchTheme } from "./view/theme";
import { makeTransport } from "./view/transport";
import { makeTree } from "./view/tree";
import { isGoing, Work } from "./work";

function build(history: History): App {
  const store = new Store();
  const player = new Player(() => played(store), () => store.tell());
  return { store, player, history, work: new Work(store, history) };
}

function played(store: Store): Played {
  const piece = store.shown;
  if (piece === null) return { tracks: [], end: 0, growing: false };
  const loud = levels(store, piece);
  const tracks = store.tracksOf(piece).map(({ instrument, notes }, at) => ({ instrument, notes, level: loud[at] ?? 0 }));
  return { tracks, end: endOfSound(store, piece), growing: isGoing(piece) };
}

function assemble(app: App, root: HTMLElement): void {
  const { store, player } = app;
  const roll = makeRoll(app);
  const [composer, tree, takes, mixer] = [makeComposer(app), makeTree(app), makeTakes(app), makeMixer(app)];
  const [transport, rework, banner, placeholder] = [makeTransport(app), makeRework(app), makeBanner(app), makePlaceholder(app)];
  const staff = makeStaff(app);
  const help = makeHelp();
  let view: "roll" | "staff" = "roll";

  const asRoll = h("button", { type: "button", onclick: () => show("roll") }, "Roll");
  const asStaff = h("button", { type: "button", onclick: () => show("staff") }, "Staff");
  const views = h("div", { className: "segments", aria: { label: "View" } }, asRoll, asStaff);
  views.setAttribute("role", "group");
  const zoom = h("div", { className: "zoom" }, iconButton("out", "Zoom out", () => roll.zoom(1 / 1.4)), iconButton("in", "Zoom in", () => roll.zoom(1.4)),
    h("button", { type: "button", className: "plain", title: "Show the whole piece (0)", onclick: () => roll.fit() }, "Fit"));
  const undo = iconButton("undo", "Undo (Ctrl+Z)", () => store.undo());
  const redo = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => store.redo());
  const file = h("input", { type: "file", accept: ".mid,.midi,audio/midi", hidden: true, onchange: () => void openFile(app, file) });
  const open = iconButton("open", "Open a MIDI file", () => file.click());

  const render = (): void => {
    undo.disabled = !store.canUndo;
    redo.disabled = !store.canRedo;
    asRoll.setAttribute("aria-pressed", String(view === "roll"));
    asStaff.setAttribute("aria-pressed", String(view === "staff"));
    roll.element.hidden = zoom.hidden = view !== "roll";
    for (const part of [composer, tree, takes, mixer, transport, rework, banner, placeholder, roll]) part.render();
    staff.render(view === "staff");
    player.refresh();
  };
  const show = (next: "roll" | "staff"): void => {
    view = next;
    render();
  };
  const recolour = (): void => {
    roll.recolour();
    render();
  };
  const dark = iconButton("moon", "Light or dark", () => (switchTheme(), recolour()));
  root.replaceChildren(
    h("header", { className: "top" }, h("h1", {}, "midi-llm", h("span", {}, "studio")), banner.element,
      h("div", { className: "row" }, undo, redo, open, dark, iconButton("help", "Shortcuts (?)", help.open), file)),
    h("aside", { className: "side" }, composer.element, tree.element),
    h("main", { className: "stage" }, takes.element, h("div", { className: "tools" }, views, zoom, rework.element), rework.form,
      h("div", { className: "sheet" }, roll.element, staff.element, placeholder.element)),
    mixer.element, transport.element, help.element,
  );
  startTheme(recolour);
  store.subscribe(render);
  listenToKeys(app, roll, help.open, () => document.getElementById("prompt")?.focus());
  recolour();
}

/** Keeps in the history what is done to pieces: edits by hand, and which ones are forgotten. */
function keepHistory({ store, history }: App): void {
  let kept = store.document;
  store.subscribe(() => {
    const { edits, forgotten } = store.document;
    if (edits !== kept.edits) {
      for (const id of new Set([...Object.keys(edits), ...Object.keys(kept.edits)])) {
        if (edits[id] !== kept.edits[id]) history.saveEdit(id, edits[id] ?? null);
      }
    }
    for (const id of forgotten) if (!kept.forgotten.includes(id)) history.forget(id);
    for (const id of kept.forgotten) {
      const piece = store.pieces.get(id);
      if (forgotten.includes(id) || piece === undefined) continue;
      history.save(piece);
      if (store.isEdited(piece)) history.saveEdit(id, store.tracksOf(piece));
    }
    kept = store.document;
  });
}

/** A change of the piece in the roll stops what was playing, unless it is another take of the same request. */
function followShown({ store, player }: App): void {
  let job: string | null = null;
  store.subscribe(() => {
    const now = store.shown?.job ?? store.document.shown;
    if (now !== job && job !== null) player.stop();
    job = now;
  });
}

const root = document.getElementById("studio");
if (root !== null) {
  const app = build(await openHistory());
  assemble(app, root);
  await app.work.restore();
  keepHistory(app);
  followShown(app);
}
