/** What makes notes audible: the light synthesizer that is always there, or one that plays a sound font. */

export interface Sound {
  readonly name: string;
  /** Says which instrument (0-128) each track has; called before the first note and after every change. */
  setInstruments(instruments: readonly number[]): void;
  /** Loudness of a track, 0 to 1; takes effect at once. */
  setLevel(track: number, level: number): void;
  /** Plays a note from time `at` of the audio clock; pitch and velocity as in MIDI, duration in seconds. */
  play(track: number, pitch: number, velocity: number, at: number, duration: number): void;
  /** Ends all notes, sounding or to come. */
  silence(): void;
}
