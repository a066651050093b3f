/** The mixer: for each track its colour and name, program, mute, solo and volume; a grip drags the stem out. */

import { applyEdit, changeStrip, type App } from "../app";
import { DRUMS, FAMILY_LIST } from "../music/instruments";
import type { Piece, Track } from "../music/piece";
import { dragStem, saveStem } from "./downloads";
import { h, icon, whenChanged } from "./dom";
import { instrumentColour, theme } from "./theme";

interface Row {
  readonly element: HTMLElement;
  render(piece: Piece, track: Track): void;
}

export function makeMixer(app: App): { element: HTMLElement; render(): void } {
  const { store } = app;
  const list = h("ul", { className: "strips" });
  const empty = h("p", { className: "hint" }, "The tracks appear here as they are composed.");
  const element = h("section", { className: "mixer", aria: { label: "Mixer" } }, h("h2", {}, "Mixer"), list, empty);
  let rows: Row[] = [];
  const rebuild = whenChanged(() => {
    const count = store.shown === null ? 0 : store.tracksOf(store.shown).length;
    rows = Array.from({ length: count }, (_, track) => makeRow(app, track));
    list.replaceChildren(...rows.map((row) => row.element));
    empty.hidden = count > 0;
  });
  return {
    element,
    render: () => {
      const piece = store.shown;
      const tracks = piece === null ? [] : store.tracksOf(piece);
      rebuild(piece?.id, tracks.length);
      rows.forEach((row, at) => piece !== null && tracks[at] !== undefined && row.render(piece, tracks[at]));
    },
  };
}

function makeRow(app: App, track: number): Row {
  const { store } = app;
  const withPiece = (work: (piece: Piece) => void) => () => store.shown !== null && work(store.shown);
  const colour = h("span", { className: "strip-colour" });
  const name = h("span", { className: "strip-name" });
  const choose = h("button", { type: "button", className: "strip-choose", title: "Select this track", onclick: () => toggleTrack(app, track) }, colour, name);
  const mute = toggle("M", "mute", withPiece((piece) => changeStrip(app, piece, track, { mute: !store.strip(piece, track).mute })));
  const solo = toggle("S", "solo", withPiece((piece) => changeStrip(app, piece, track, { solo: !store.strip(piece, track).solo })));
  const volume = h("input", {
    type: "range", min: "0", max: "1", step: "0.01", className: "strip-volume",
    oninput: withPiece((piece) => changeStrip(app, piece, track, { volume: Number(volume.value) }, `volume ${track}`)),
  });
  const program = programSelect();
  program.onchange = withPiece((piece) => setProgram(app, piece, track, Number(program.value)));
  const grip = h("span", { className: "grip", draggable: true, tabIndex: 0, title: "Drag this stem out as a MIDI file, or click to download it" }, icon("grip"));
  grip.setAttribute("role", "button"); // a button proper cannot be dragged everywhere
  const takeStem = withPiece((piece) => saveStem(app, piece, track));
  grip.onclick = takeStem;
  grip.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    takeStem();
  };
  grip.addEventListener("dragstart", (event) => store.shown !== null && dragStem(app, event, store.shown, track));
  const element = h(
    "li",
    { className: "strip", data: { track: String(track) } },
    h("div", { className: "strip-line" }, grip, choose, mute, solo),
    h("div", { className: "strip-line" }, program, volume),
  );
  return {
    element,
    render: (piece, { name: text, instrument }) => {
      const strip = store.strip(piece, track);
      const chosen = store.document.track === track;
      colour.style.background = instrumentColour(instrument, 0.7);
      colour.dataset["theme"] = theme();
      name.textContent = text;
      element.classList.toggle("chosen", chosen);
      choose.setAttribute("aria-pressed", String(chosen));
      for (const [button, on, word] of [[mute, strip.mute, "Mute"], [solo, strip.solo, "Solo"]] as const) {
        button.setAttribute("aria-pressed", String(on));
        button.setAttribute("aria-label", `${word} ${text}`);
      }
      volume.value = String(strip.volume);
      grip.setAttribute("aria-label", `Stem of ${text} as a MIDI file`);
      volume.setAttribute("aria-label", `Volume of ${text}`);
      program.setAttribute("aria-label", `Program of ${text}`);
      program.value = String(instrument);
      program.disabled = instrument === DRUMS;
    },
  };
}

function toggle(letter: string, className: string, onclick: () => void): HTMLButtonElement {
  return h("button", { type: "button", className: `toggle ${className}`, onclick }, letter);
}

function programSelect(): HTMLSelectElement {
  const groups = FAMILY_LIST.map(({ name, programs }) => {
    const group = h("optgroup", { label: name });
    group.append(...programs.map((one) => h("option", { value: String(one.instrument) }, one.name)));
    return group;
  });
  return h("select", { className: "strip-program" }, ...groups, h("option", { value: String(DRUMS), disabled: true }, "Drum kit"));
}

function toggleTrack(app: App, track: number): void {
  app.store.select({ track: app.store.document.track === track ? null : track, notes: [] });
}

function setProgram(app: App, piece: Piece, track: number, instrument: number): void {
  const tracks = app.store.tracksOf(piece).map((one, at) => (at === track ? { ...one, instrument } : one));
  applyEdit(app, piece, { tracks, notes: app.store.document.notes });
}
