/** The staff view: the service's MusicXML, engraved by OpenSheetMusicDisplay, which is loaded when first needed. */

import * as api from "../api";
import type { App } from "../app";
import { isGoing } from "../work";
import { h, whenChanged } from "./dom";

export function makeStaff(app: App): { element: HTMLElement; render(visible: boolean): void } {
  const paper = h("div", { className: "paper" });
  const note = h("p", { className: "staff-note", aria: { live: "polite" } });
  const element = h("div", { className: "staff", tabIndex: 0, aria: { label: "Staff view" } }, note, paper);
  element.setAttribute("role", "region");

  const engrave = whenChanged(() => {
    const piece = app.store.shown;
    paper.replaceChildren();
    note.textContent = "";
    if (piece === null) return;
    if (piece.job === null || isGoing(piece)) {
      note.textContent = piece.job === null ? "Staves are made of the service's takes, not of opened files." : "The staves come when the take is finished.";
      return;
    }
    note.textContent = "Engraving …";
    void draw(app, api.takePath(piece.job, piece.take), paper).then((problem) => {
      const edited = app.store.isEdited(piece) ? "The staves show the take before your edits." : "";
      note.textContent = problem || edited;
    });
  });
  return {
    element,
    render: (visible) => {
      element.hidden = !visible;
      const piece = app.store.shown;
      if (visible) engrave(piece?.id, piece?.status, piece !== null && app.store.isEdited(piece));
    },
  };
}

/** Draws on the paper; gives what went wrong, or nothing. */
async function draw(app: App, path: string, paper: HTMLElement): Promise<string> {
  const xml = await app.work.attempt(async () => (await api.request(`${path}/musicxml`)).text());
  if (xml === null) return "The service gave no score.";
  const { OpenSheetMusicDisplay } = await import("opensheetmusicdisplay");
  const sheet = h("div");
  const display = new OpenSheetMusicDisplay(sheet, { backend: "svg", autoResize: false, drawTitle: false, drawComposer: false });
  paper.replaceChildren(sheet);
  try {
    await display.load(xml);
    display.render();
    return "";
  } catch (error) {
    if (error instanceof Error) return `This score cannot be engraved here: ${error.message}`;
    throw error;
  }
}
