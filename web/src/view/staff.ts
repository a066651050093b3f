/** The staff view: the service's MusicXML, engraved by OpenSheetMusicDisplay, which is loaded when first needed. */

import type { App } from "../app";
import type { Piece } from "../music/piece";
import { isGoing } from "../work";
import { h, whenChanged } from "./dom";

/** Edits that follow each other quickly are engraved once. */
const SETTLE_MS = 400;

export function makeStaff(app: App): { element: HTMLElement; render(visible: boolean): void } {
  const paper = h("div", { className: "paper" });
  const note = h("p", { className: "staff-note", aria: { live: "polite" } });
  const element = h("div", { className: "staff", tabIndex: 0, aria: { label: "Staff view" } }, note, paper);
  element.setAttribute("role", "region");

  /** Counts what was asked for; only the last of it is put on the paper. */
  let asked = 0;
  const engrave = async (piece: Piece): Promise<void> => {
    const mine = ++asked;
    note.textContent = "Engraving …";
    await wait(app.store.isEdited(piece) ? SETTLE_MS : 0);
    const score = mine === asked ? await draw(app, piece, paper) : null;
    if (mine !== asked) return;
    note.textContent = typeof score === "string" ? score : "";
    paper.replaceChildren(...(score instanceof HTMLElement ? [score] : []));
  };
  let last: Piece["id"] | null = null;
  const refresh = whenChanged(() => {
    const piece = app.store.shown;
    if (piece === null || piece.id !== last) paper.replaceChildren();
    last = piece?.id ?? null;
    const empty = piece === null || isGoing(piece) || app.store.tracksOf(piece).length === 0;
    if (!empty) return void engrave(piece);
    asked += 1;
    note.textContent = piece !== null && isGoing(piece) ? "The staves come when the take is finished." : "";
  });
  return {
    element,
    render: (visible) => {
      element.hidden = !visible;
      const piece = app.store.shown;
      if (visible) refresh(piece?.id, piece?.status, piece === null ? null : app.store.tracksOf(piece));
    },
  };
}

/** The score, engraved unseen on the paper; as text, why there is none. */
async function draw(app: App, piece: Piece, paper: HTMLElement): Promise<HTMLElement | string> {
  const xml = await (await app.work.file(piece, "musicxml"))?.text();
  if (xml === undefined) return "The service gave no score.";
  const { OpenSheetMusicDisplay } = await import("opensheetmusicdisplay");
  const sheet = h("div", { className: "sheet-new" });
  paper.append(sheet);
  const display = new OpenSheetMusicDisplay(sheet, { backend: "svg", autoResize: false, drawTitle: false, drawComposer: false });
  try {
    await display.load(xml);
    display.render();
    sheet.classList.remove("sheet-new");
    return sheet;
  } catch (error) {
    if (error instanceof Error) return `This score cannot be engraved here: ${error.message}`;
    throw error;
  } finally {
    sheet.remove();
  }
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
