/** Plays a sound font in an AudioWorklet (spessasynth); the font comes from the service, where it has one. */

import { DRUMS } from "../music/instruments";
import type { Sound } from "./sound";
import processorUrl from "spessasynth_lib/dist/spessasynth_processor.min.js?url";
import type { WorkletSynthesizer } from "spessasynth_lib";

/** Of every sixteen channels the tenth is for drums. */
const CHANNELS = 16;
const DRUM_CHANNEL = 9;
const VOLUME = 7;
const FULL = 127;

/** Null where the browser has no AudioWorklet, or the font cannot be read. */
export async function openFont(context: AudioContext, bytes: ArrayBuffer): Promise<Sound | null> {
  if (context.audioWorklet === undefined) return null;
  const { WorkletSynthesizer } = await import("spessasynth_lib");
  try {
    await context.audioWorklet.addModule(processorUrl);
    const synthesizer = new WorkletSynthesizer(context);
    synthesizer.connect(context.destination);
    await synthesizer.soundBankManager.addSoundBank(bytes, "service");
    await synthesizer.isReady;
    return new FontSound(synthesizer);
  } catch (error) {
    if (error instanceof Error) return null;
    throw error;
  }
}

class FontSound implements Sound {
  readonly name = "Sound font";
  private channels: number[] = [];
  /** What each channel has been set to; a track may come to another channel. */
  private readonly programs = new Map<number, number>();

  constructor(private readonly synthesizer: WorkletSynthesizer) {}

  /** Every track has a channel of its own: all drums the tenth, the others the rest and as many more as they need. */
  setInstruments(instruments: readonly number[]): void {
    let next = 0;
    this.channels = instruments.map((instrument) => {
      if (instrument === DRUMS) return DRUM_CHANNEL;
      if (next % CHANNELS === DRUM_CHANNEL) next += 1;
      return next++;
    });
    while (this.synthesizer.midiChannels.length < next) this.synthesizer.addNewChannel();
    instruments.forEach((instrument, track) => {
      const channel = this.channels[track] ?? 0;
      if (instrument === DRUMS || this.programs.get(channel) === instrument) return;
      this.synthesizer.programChange(channel, instrument);
      this.programs.set(channel, instrument);
    });
  }

  setLevel(track: number, level: number): void {
    const channel = this.channels[track];
    if (channel !== undefined) this.synthesizer.controllerChange(channel, VOLUME, Math.round(level * FULL));
  }

  play(track: number, pitch: number, velocity: number, at: number, duration: number): void {
    const channel = this.channels[track];
    if (channel === undefined) return;
    this.synthesizer.noteOn(channel, pitch, velocity, { time: at });
    this.synthesizer.noteOff(channel, pitch, { time: at + duration });
  }

  silence(): void {
    this.synthesizer.stopAll(true);
  }
}
