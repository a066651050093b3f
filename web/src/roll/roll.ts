/** The piano roll: two canvases, one for the music and one for the playhead, drawn only when something has changed. */

import { gridOf, levels, type App } from "../app";
import { lengthOf, noteCount, type Piece } from "../music/piece";
import { h } from "../view/dom";
import { colour, theme } from "../view/theme";
import { isGoing } from "../work";
import { drawRoll, forgetColours, type Scene } from "./draw";
import { endOf, listen } from "./pointer";
import { fit, KEYS_WIDTH, RULER_HEIGHT, scroll, xOf, zoomTime, type Viewport } from "./viewport";

export interface Roll {
  readonly element: HTMLElement;
  render(): void;
  /** Zooms time about the middle. */
  zoom(factor: number): void;
  /** Shows the whole piece. */
  fit(): void;
  recolour(): void;
}

const START: Viewport = { left: 0, perSecond: 40, top: 90, perPitch: 8, width: 300, height: 300 };
const PAGE_AT = 0.92;
const PAGE_TO = 0.1;

export function makeRoll(app: App): Roll {
  const music = h("canvas", { className: "roll-music" });
  const head = h("canvas", { className: "roll-head" });
  const element = h("div", { className: "roll", tabIndex: 0, id: "roll" }, music, head);
  element.setAttribute("role", "application");
  let view = START;
  let marquee: Scene["marquee"] = null;
  let fitted = true;
  let shown: string | null = null;
  let scheduled = false;
  let lastHead = -1;
  let headStyle = "";

  const invalidate = (): void => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(paint);
  };
  const setView = (next: Viewport): void => {
    view = next;
    fitted = false;
    invalidate();
  };
  const host = {
    app,
    canvas: music,
    piece: () => (app.store.shown !== null && !isGoing(app.store.shown) ? app.store.shown : null),
    view: () => view,
    setView,
    setMarquee: (next: Scene["marquee"]) => {
      marquee = next;
      invalidate();
    },
  };
  listen(host);

  const paint = (): void => {
    scheduled = false;
    const piece = app.store.shown;
    // to the piece as composed: the view must not jump while notes are moved
    if (fitted) view = fit(view, piece?.tracks ?? [], piece === null ? 0 : lengthOf(piece));
    const context = music.getContext("2d", { alpha: false });
    if (context !== null) drawRoll(context, sceneOf(app, piece, view, marquee));
    lastHead = -1;
    drawHead();
  };

  const drawHead = (): void => {
    const x = app.store.shown === null ? 0 : Math.round(xOf(view, app.player.position));
    const context = head.getContext("2d");
    if (context === null || x === lastHead) return;
    context.clearRect(lastHead - 8, 0, 16, view.height);
    if (lastHead < 0) context.clearRect(0, 0, view.width, view.height);
    lastHead = x;
    if (x < KEYS_WIDTH || app.store.shown === null) return;
    headStyle ||= colour("--head");
    context.fillStyle = headStyle;
    context.fillRect(x, RULER_HEIGHT - 4, 1.5, view.height);
    context.beginPath();
    context.moveTo(x - 5, RULER_HEIGHT - 12);
    context.lineTo(x + 6, RULER_HEIGHT - 12);
    context.lineTo(x + 0.75, RULER_HEIGHT - 3);
    context.fill();
  };

  const tick = (): void => {
    if (app.player.playing) {
      const x = xOf(view, app.player.position);
      const wide = view.width - KEYS_WIDTH;
      const far = x > KEYS_WIDTH + PAGE_AT * wide && x < view.width + 40;
      if (far && !fitted) view = scroll(view, x - KEYS_WIDTH - PAGE_TO * wide, 0, endOf(host));
      if (far && !fitted) paint();
      drawHead();
    }
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);

  const resize = (): void => {
    const { clientWidth: width, clientHeight: height } = element;
    if (width === 0 || height === 0) return;
    for (const canvas of [music, head]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
      canvas.getContext("2d", { alpha: canvas === head })?.scale(devicePixelRatio, devicePixelRatio);
    }
    view = { ...view, width, height };
    paint();
  };
  new ResizeObserver(resize).observe(element);

  return {
    element,
    render: () => {
      const piece = app.store.shown;
      if (piece?.id !== shown) fitted = true;
      shown = piece?.id ?? null;
      element.setAttribute("aria-label", describe(app, piece));
      element.dataset["notes"] = String(piece === null ? 0 : noteCount(app.store.tracksOf(piece)));
      invalidate();
    },
    zoom: (factor) => setView(zoomTime(view, factor, (KEYS_WIDTH + view.width) / 2, endOf(host))),
    fit: () => {
      fitted = true;
      invalidate();
    },
    recolour: () => {
      forgetColours();
      headStyle = "";
      element.dataset["theme"] = theme();
      invalidate();
    },
  };
}

function sceneOf(app: App, piece: Piece | null, view: Viewport, marquee: Scene["marquee"]): Scene {
  const { bars, track, notes } = app.store.document;
  if (piece === null) {
    const grid = { bars: [0], quarterAt: () => 0, secondsAt: () => 0, snap: () => 0, barAt: () => 0 };
    return { view, tracks: [], levels: [], grid, bars: null, active: null, selected: [], marquee };
  }
  const tracks = app.store.tracksOf(piece);
  return { view, tracks, levels: levels(app.store, piece), grid: gridOf(app.store, piece), bars, active: track, selected: notes, marquee };
}

function describe(app: App, piece: Piece | null): string {
  if (piece === null) return "Piano roll, empty";
  const tracks = app.store.tracksOf(piece);
  const { bars } = gridOf(app.store, piece);
  return `Piano roll: ${noteCount(tracks)} notes in ${tracks.length} tracks, ${bars.length - 1} bars`;
}
