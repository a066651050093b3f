/** The built-in synthesizer: oscillators and noise, shaped by instrument family; needs no sound font and no network. */

import { DRUMS } from "../music/instruments";
import type { Sound } from "./sound";

interface Timbre {
  readonly wave: OscillatorType;
  readonly attack: number;
  /** Seconds to fall to a third; 0: the note holds. */
  readonly decay: number;
  readonly release: number;
  /** The low-pass filter's cut-off, in multiples of the note's frequency. */
  readonly bright: number;
  readonly loud: number;
}

const PLUCKED: Timbre = { wave: "triangle", attack: 0.004, decay: 0.7, release: 0.12, bright: 6, loud: 0.5 };
const BELL: Timbre = { wave: "sine", attack: 0.002, decay: 0.9, release: 0.4, bright: 9, loud: 0.5 };
const ORGAN: Timbre = { wave: "square", attack: 0.015, decay: 0, release: 0.06, bright: 4, loud: 0.18 };
const GUITAR: Timbre = { wave: "sawtooth", attack: 0.004, decay: 0.5, release: 0.1, bright: 4, loud: 0.26 };
const BASS: Timbre = { wave: "sawtooth", attack: 0.006, decay: 0.8, release: 0.07, bright: 5, loud: 0.42 };
const BOWED: Timbre = { wave: "sawtooth", attack: 0.07, decay: 0, release: 0.22, bright: 3.5, loud: 0.18 };
const BLOWN: Timbre = { wave: "square", attack: 0.03, decay: 0, release: 0.09, bright: 3, loud: 0.17 };
const BRASS: Timbre = { wave: "sawtooth", attack: 0.03, decay: 0, release: 0.1, bright: 5, loud: 0.2 };
const PIPE: Timbre = { wave: "sine", attack: 0.04, decay: 0, release: 0.1, bright: 6, loud: 0.36 };
const LEAD: Timbre = { wave: "square", attack: 0.006, decay: 0, release: 0.08, bright: 6, loud: 0.18 };
const PAD: Timbre = { wave: "sawtooth", attack: 0.2, decay: 0, release: 0.5, bright: 2.5, loud: 0.16 };
/** One for each of the 16 General MIDI families. */
const FAMILIES: readonly Timbre[] = [
  PLUCKED, BELL, ORGAN, GUITAR, BASS, BOWED, BOWED, BRASS, BLOWN, PIPE, LEAD, PAD, PAD, PLUCKED, BELL, PLUCKED,
];

const KICKS = new Set([35, 36, 41, 43, 45, 47, 48, 50]);
const SNARES = new Set([37, 38, 39, 40]);

export class LightSound implements Sound {
  readonly name = "Built-in synthesizer";
  private instruments: readonly number[] = [];
  private readonly gains: GainNode[] = [];
  private readonly out: DynamicsCompressorNode;
  private readonly noise: AudioBuffer;
  private readonly sounding = new Set<AudioScheduledSourceNode>();

  constructor(private readonly context: BaseAudioContext) {
    this.out = context.createDynamicsCompressor();
    this.out.connect(context.destination);
    this.noise = context.createBuffer(1, context.sampleRate / 2, context.sampleRate);
    const samples = this.noise.getChannelData(0);
    for (let at = 0; at < samples.length; at++) samples[at] = Math.random() * 2 - 1;
  }

  setInstruments(instruments: readonly number[]): void {
    this.instruments = instruments;
  }

  setLevel(track: number, level: number): void {
    this.gain(track).gain.setTargetAtTime(level, this.context.currentTime, 0.01);
  }

  private gain(track: number): GainNode {
    let gain = this.gains[track];
    if (gain === undefined) {
      gain = this.gains[track] = this.context.createGain();
      gain.connect(this.out);
    }
    return gain;
  }

  play(track: number, pitch: number, velocity: number, at: number, duration: number): void {
    const instrument = this.instruments[track] ?? 0;
    const strength = (velocity / 127) ** 1.5;
    if (instrument === DRUMS) this.drum(track, pitch, strength, at);
    else this.tone(track, FAMILIES[instrument >> 3] ?? PLUCKED, 440 * 2 ** ((pitch - 69) / 12), strength, at, duration);
  }

  private tone(track: number, timbre: Timbre, frequency: number, strength: number, at: number, duration: number): void {
    const oscillator = new OscillatorNode(this.context, { type: timbre.wave, frequency });
    const cutoff = Math.min(16_000, frequency * timbre.bright * (0.5 + strength));
    const filter = new BiquadFilterNode(this.context, { type: "lowpass", frequency: cutoff, Q: 0.5 });
    const shape = new GainNode(this.context, { gain: 0 });
    const end = at + Math.max(duration, timbre.attack);
    shape.gain.setValueAtTime(0, at);
    shape.gain.linearRampToValueAtTime(timbre.loud * strength, at + timbre.attack);
    if (timbre.decay > 0) shape.gain.setTargetAtTime(0, at + timbre.attack, timbre.decay);
    shape.gain.setTargetAtTime(0, end, timbre.release / 3);
    oscillator.connect(filter).connect(shape).connect(this.gain(track));
    this.run(oscillator, shape, at, end + 2 * timbre.release);
  }

  private drum(track: number, pitch: number, strength: number, at: number): void {
    const shape = new GainNode(this.context, { gain: 0 });
    const length = KICKS.has(pitch) ? 0.25 : SNARES.has(pitch) ? 0.18 : pitch >= 49 ? 0.5 : 0.07;
    shape.gain.setValueAtTime(strength * (KICKS.has(pitch) ? 0.9 : 0.3), at);
    shape.gain.setTargetAtTime(0, at, length / 4);
    shape.connect(this.gain(track));
    if (KICKS.has(pitch)) {
      const drop = new OscillatorNode(this.context, { frequency: pitch < 40 ? 120 : 90 + 6 * (pitch - 40) });
      drop.frequency.exponentialRampToValueAtTime(pitch < 40 ? 45 : 60, at + 0.1);
      drop.connect(shape);
      this.run(drop, shape, at, at + 2 * length);
      return;
    }
    const hiss = new AudioBufferSourceNode(this.context, { buffer: this.noise, loop: true });
    const type = SNARES.has(pitch) ? "bandpass" : "highpass";
    const filter = new BiquadFilterNode(this.context, { type, frequency: SNARES.has(pitch) ? 1800 : 7000, Q: 0.6 });
    hiss.connect(filter).connect(shape);
    this.run(hiss, shape, at, at + 2 * length);
  }

  private run(source: AudioScheduledSourceNode, last: AudioNode, start: number, end: number): void {
    this.sounding.add(source);
    source.onended = () => {
      this.sounding.delete(source);
      last.disconnect();
    };
    source.start(start);
    source.stop(end);
  }

  silence(): void {
    for (const source of this.sounding) source.stop();
  }
}
