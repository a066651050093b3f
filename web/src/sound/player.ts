/** The transport: plays tracks from a position, a little ahead of the clock, and says where it is. */

import { request } from "../api";
import { firstFrom, type Note } from "../music/piece";
import { openFont } from "./font";
import { LightSound } from "./light";
import type { Sound } from "./sound";

export interface PlayedTrack {
  readonly instrument: number;
  readonly notes: readonly Note[];
  /** 0 to 1; muted tracks have 0. */
  readonly level: number;
}
export interface Played {
  readonly tracks: readonly PlayedTrack[];
  readonly end: number;
  /** More notes are still to come. */
  readonly growing: boolean;
}

const AHEAD_S = 0.15;
const EVERY_MS = 30;
const LEAD_S = 0.06;
const FONT_WAIT_MS = 2500;
const AUDITION_S = 0.25;

export class Player {
  private context: AudioContext | null = null;
  private sound: Sound | null = null;
  private font: Promise<Sound | null> | null = null;
  private timer = 0;
  private origin = 0;
  private rest = 0;
  private done = 0;
  private levels: readonly number[] = [];
  private instruments: readonly number[] = [];
  playing = false;

  constructor(
    private readonly source: () => Played,
    private readonly onChange: () => void,
  ) {}

  get soundName(): string {
    return this.sound?.name ?? "";
  }

  /** Where the playhead is, in seconds. */
  get position(): number {
    if (!this.playing || this.context === null) return this.rest;
    return Math.max(this.rest, this.context.currentTime - this.origin);
  }

  async toggle(): Promise<void> {
    if (this.playing) this.pause();
    else await this.start();
  }

  async start(): Promise<void> {
    const context = await this.ready();
    if (this.playing) return;
    if (this.rest >= this.source().end - 0.01) this.rest = 0;
    this.origin = context.currentTime + LEAD_S - this.rest;
    this.done = this.rest;
    this.playing = true;
    this.refresh();
    this.timer = window.setInterval(() => this.schedule(), EVERY_MS);
    this.schedule();
    this.onChange();
  }

  pause(): void {
    const position = this.position;
    this.halt();
    this.rest = position;
    this.onChange();
  }

  stop(): void {
    this.halt();
    this.rest = 0;
    this.onChange();
  }

  async seek(seconds: number): Promise<void> {
    const playing = this.playing;
    this.halt();
    this.rest = Math.max(0, seconds);
    if (playing) await this.start();
    this.onChange();
  }

  private halt(): void {
    window.clearInterval(this.timer);
    this.playing = false;
    this.sound?.silence();
    // notes that were already on their way to the sound, too
    window.setTimeout(() => !this.playing && this.sound?.silence(), 1000 * AHEAD_S);
  }

  /** Takes over instruments and levels that have changed. */
  refresh(): void {
    const { tracks } = this.source();
    if (this.sound === null) return;
    const instruments = tracks.map((track) => track.instrument);
    this.sound.setInstruments(instruments);
    // tracks may have come to other channels
    if (instruments.join() !== this.instruments.join()) this.levels = [];
    this.instruments = instruments;
    const levels = tracks.map((track) => track.level);
    levels.forEach((level, track) => {
      if (level !== this.levels[track] || !this.playing) this.sound?.setLevel(track, level);
    });
    this.levels = levels;
  }

  /** Lets one note be heard, as a note is clicked or moved. */
  async audition(track: number, pitch: number, velocity: number): Promise<void> {
    if (this.playing) return;
    const context = await this.ready();
    this.refresh();
    this.sound?.play(track, pitch, velocity, context.currentTime, AUDITION_S);
  }

  private schedule(): void {
    if (this.context === null || this.sound === null) return;
    const { tracks, end, growing } = this.source();
    const now = this.context.currentTime - this.origin;
    const until = now + AHEAD_S;
    tracks.forEach((track, index) => {
      for (let at = firstFrom(track.notes, this.done); at < track.notes.length; at++) {
        const note = track.notes[at];
        if (note === undefined || note.start >= until) break;
        this.sound?.play(index, note.pitch, note.velocity, this.origin + note.start, note.duration);
      }
    });
    this.done = Math.max(this.done, until);
    if (now > end && !growing) this.stop();
  }

  /** The audio clock, running; the sound font is taken if it is there in time, else it serves from the next start on. */
  private async ready(): Promise<AudioContext> {
    const context = (this.context ??= new AudioContext({ latencyHint: "interactive" }));
    if (context.state === "suspended") await context.resume();
    this.sound ??= new LightSound(context);
    this.font ??= loadFont(context);
    const font = await Promise.race([this.font, wait(FONT_WAIT_MS)]);
    if (font !== null && font !== this.sound) [this.sound, this.levels] = [font, []];
    return context;
  }
}

async function loadFont(context: AudioContext): Promise<Sound | null> {
  try {
    const response = await request("/v1/soundfont");
    return await openFont(context, await response.arrayBuffer());
  } catch (error) {
    if (error instanceof Error) return null;
    throw error;
  }
}

function wait(milliseconds: number): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), milliseconds));
}
