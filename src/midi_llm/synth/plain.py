"""The built-in synthesizer: `render_plain(score)` makes sound of music without FluidSynth, sound fonts or any program.

In: a `Score`; its seconds are used, not its tempo map. Out: a stereo `Waveform`, seconds of the score plus a tail, at
no particular loudness (see `loudness.match_loudness`). A tone is made once for each voice, pitch and loudness of a
track and then laid wherever it is played, like a sampler. Each instrument has its place from left to right, and there
is a little room; the sounds of tracks alone add up to the sound of all. Simple: register, envelope and role are right,
the colours of instruments are not; pedals and bends are not heard. The same score gives the same samples.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from midi_llm.errors import SynthesisError
from midi_llm.music.score import NoteArray, Score, Track
from midi_llm.synth.drum_kit import stroke
from midi_llm.synth.fluidsynth import DEFAULT_SAMPLE_RATE, DEFAULT_TAIL_SECONDS, HIGHEST_RATE, LOWEST_RATE
from midi_llm.synth.tones import Voice, tone
from midi_llm.synth.voices import VOICES
from midi_llm.synth.waveform import Samples, Waveform

LAYERS = 3
"""Steps of loudness that differ in brightness."""
ROOM_SECONDS = 1.1
"""Until the room is 60 dB down."""
ROOM_LEVEL = 0.12
LOWEST_PLAYED = 0.02
"""Seconds that a note is held at least, so that it can be heard."""
_FADE_SECONDS = 0.05


def render_plain(
    score: Score, *, sample_rate: int = DEFAULT_SAMPLE_RATE, tail_seconds: float = DEFAULT_TAIL_SECONDS
) -> Waveform:
    """Play `score`: stereo, its length plus `tail_seconds`, whose last 50 ms fade out.

    Raises `SynthesisError` for a rate outside 8,000 to 96,000 Hz.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise SynthesisError(
            f"a sample rate of {sample_rate} Hz; rendered are whole rates from {LOWEST_RATE:,} to {HIGHEST_RATE:,}:"
            " choose one of them (44100 is usual)"
        )
    length = round((score.seconds + tail_seconds) * sample_rate)
    mix = np.zeros((2, length), np.float32)
    for track in score.tracks:
        _play(track, mix, sample_rate)
    if score.note_count:
        _add_room(mix, sample_rate)
    fade = min(round(_FADE_SECONDS * sample_rate), length)
    mix[:, length - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Waveform(samples=mix, sample_rate=sample_rate)


def _play(track: Track, mix: Samples, rate: int) -> None:
    """Add the notes of `track` to `mix` [2, n]: those of one pitch and loudness together."""
    notes = track.notes
    layer = np.minimum(notes["velocity"].astype(np.int64) * LAYERS // 128, LAYERS - 1)
    key = notes["pitch"].astype(np.int64) * LAYERS + layer
    order = np.argsort(key, kind="stable")
    bounds = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1))
    angle = (1 if track.is_drum else 1 + VOICES[track.program].place) * np.pi / 4
    sides = np.array([np.cos(angle), np.sin(angle)], np.float32)  # equal power everywhere
    for first, last in pairwise(bounds.tolist()):
        some = notes[order[first:last]]
        if track.is_drum:
            _lay(stroke(int(some["pitch"][0]), rate), some, None, sides, mix, rate)
        else:
            _lay_tone(VOICES[track.program], some, (int(key[order[first]]) % LAYERS + 0.5) / LAYERS, sides, mix, rate)


def _lay_tone(
    voice: Voice, notes: NoteArray, loudness: float, sides: npt.NDArray[np.float32], mix: Samples, rate: int
) -> None:
    pitch = int(notes["pitch"][0])
    longest = max(float(notes["duration"].max()), LOWEST_PLAYED) + voice.release
    _lay(tone(voice, pitch, loudness, longest, rate), notes, voice.release, sides, mix, rate)


def _lay(
    sound: Samples,
    notes: NoteArray,
    release: float | None,
    sides: npt.NDArray[np.float32],
    mix: Samples,
    rate: int,
) -> None:
    """Add `sound` wherever `notes` are, each with its loudness and, unless `release` is None, its end."""
    fade = np.empty(0, np.float32)
    if release is not None:
        fade = np.exp(np.linspace(0, -5, max(round(release * rate), 2), dtype=np.float32))
        fade *= np.linspace(1, 0, len(fade), dtype=np.float32)
    begins = np.rint(notes["time"] * rate).astype(np.int64)
    holds = np.rint(np.maximum(notes["duration"], LOWEST_PLAYED) * rate).astype(np.int64)
    holds = np.minimum(holds, max(len(sound) - len(fade), 0))
    gains = _gain(notes["velocity"])
    for begin, hold, gain in zip(begins.tolist(), holds.tolist(), gains.tolist(), strict=True):
        if release is None:
            played = sound[: mix.shape[1] - begin]
        else:
            played = sound[: min(hold + len(fade), mix.shape[1] - begin)].copy()
            played[hold:] *= fade[: max(len(played) - hold, 0)]
        mix[:, begin : begin + len(played)] += (sides * np.float32(gain))[:, None] * played


def _gain(velocity: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Amplitude of each velocity: its square, as the General MIDI Level 2 specification has it (40 log v / 127 dB)."""
    return np.asarray((velocity / np.float32(127)) ** 2, np.float32)


def _add_room(mix: Samples, rate: int) -> None:
    """Add the echo of a small room to `mix`, in place and in blocks: noise that dies away, other on each side."""
    count = round(ROOM_SECONDS * rate)
    time = np.arange(count) / rate
    noise = np.random.default_rng(0).standard_normal((2, count + 1))
    echo = (noise[:, 1:] + noise[:, :-1]) * np.exp(-6.9 / ROOM_SECONDS * time) * (time > 0.012)
    echo *= ROOM_LEVEL / np.sqrt((echo**2).sum(axis=1, keepdims=True))
    size = 1 << (2 * count).bit_length()
    block = size - count
    response = np.fft.rfft(echo.astype(np.float32), size)
    late = np.zeros((2, count), np.float32)
    for first in range(0, mix.shape[1], block):
        dry = mix[:, first : first + block]
        wet = np.fft.irfft(np.fft.rfft(dry[0] + dry[1], size) * response, size).astype(np.float32)
        wet[:, :count] += late
        late = wet[:, block:].copy()
        dry += wet[:, : dry.shape[1]]
