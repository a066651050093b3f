"""Sound for listening with whatever is there: `find_sounds(font)`, then `perform(content, sounds)`.

In: the bytes of a MIDI file. Out: a stereo `Waveform`. FluidSynth plays it where that program and a sound font are on
this machine, with its pedals, bends and controllers; else the built-in synthesizer plays its notes. For measuring use
`fluidsynth.render` with a font that you name: what this module chooses depends on the machine.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from midi_llm.errors import SynthesisError
from midi_llm.music.read import parse_midi
from midi_llm.synth.fluidsynth import DEFAULT_SAMPLE_RATE, PROGRAM_VARIABLE, find_fluidsynth, render
from midi_llm.synth.plain import render_plain
from midi_llm.synth.sound_font import SoundFont, find_sound_font, open_sound_font
from midi_llm.synth.waveform import Waveform

LOUDNESS = -16.0
"""LUFS that what is made for listening is brought to: AES TD1008 recommends it for music from the network."""
LONGEST_SECONDS = 3_600.0
"""Longer music is refused: an hour of sound takes 3 GB of memory (docs/hearing-and-seeing.md)."""

HOW_TO_BETTER = (
    "install FluidSynth and a General MIDI sound font (Debian, Ubuntu: apt install fluidsynth fluid-soundfont-gm;"
    " macOS: brew install fluid-synth, and a .sf2 file named with --sound-font)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sounds:
    """What plays: FluidSynth with `font`, or the built-in synthesizer where that is None, because of `missing`."""

    font: SoundFont | None
    missing: str = ""


def find_sounds(named: Path | None = None) -> Sounds:
    """The best sounds of this machine, or those of the sound font that is `named`.

    Raises `SynthesisError` when a font is named and it or FluidSynth cannot be used, and for settings of the
    environment that name no program or no font.
    """
    if named is not None:
        find_fluidsynth()
        return Sounds(font=open_sound_font(named))
    if not os.environ.get(PROGRAM_VARIABLE) and shutil.which("fluidsynth") is None:
        return Sounds(font=None, missing="FluidSynth is not installed")
    find_fluidsynth()
    font = find_sound_font()
    return Sounds(font=font, missing="" if font else "no sound font was found")


def perform(
    content: bytes,
    sounds: Sounds,
    *,
    sample_rate: int = DEFAULT_SAMPLE_RATE,
    length: int | None = None,
    name: str = "the MIDI file",
) -> Waveform:
    """Play the MIDI file `content`, called `name` in errors, at no particular loudness.

    `length` is the number of samples, silence is added or the end cut off; None is that of the music and its fading.

    Raises `MidiReadError` when it cannot be read, and `SynthesisError` when it has no notes, lasts longer than
    `LONGEST_SECONDS`, and as `fluidsynth.render` or `plain.render_plain`.
    """
    score = parse_midi(content, name)
    if not score.note_count:
        raise SynthesisError(f"{name} has no notes: there is nothing to hear")
    if score.seconds > LONGEST_SECONDS:
        raise SynthesisError(
            f"{name} lasts {score.seconds / 60:,.0f} minutes; at most {LONGEST_SECONDS / 60:.0f} are played at once:"
            " cut it into shorter pieces"
        )
    if sounds.font is None:
        sound = render_plain(score, sample_rate=sample_rate)
    else:
        sound = render(content, sound_font=sounds.font, sample_rate=sample_rate)
    if length is None:
        return sound
    missing = max(length - sound.samples.shape[1], 0)
    samples = np.pad(sound.samples[:, :length], ((0, 0), (0, missing)))
    return Waveform(samples=samples, sample_rate=sample_rate)
