"""The built-in synthesizer: `render_plain(score)` makes sound of music without FluidSynth, sound fonts or any program.

In: a `Score`; its seconds are used, not its tempo map. Out: a stereo `Waveform`, seconds of the score plus a tail, at no
particular loudness (see `loudness.match_loudness`). A tone is made once for each voice, pitch and loudness of a track
and then laid wherever it is played, like a sampler. Tracks are spread from left to right, and there is a little room.
Simple: register, envelope and role are right, the colours of instruments are not; pedals and bends are not heard.
The same score gives the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from midi_llm.errors import SynthesisError
from midi_llm.music.score import DRUMS, NoteArray, Score, Track
from midi_llm.synth.drum_kit import stroke
from midi_llm.synth.tones import Voice, decay_seconds, tone
from midi_llm.synth.voices import VOICES
from midi_llm.synth.waveform import Samples, Waveform

DEFAULT_RATE = 44_100
LOWEST_RATE, HIGHEST_RATE = 8_000, 96_000
TAIL_SECONDS = 3.0

LAYERS = 3
"""Steps of loudness that differ in brightness."""
ROOM_SECONDS = 1.1
"""Until the room is 60 dB down."""
ROOM_LEVEL = 0.16
LOWEST_PLAYED = 0.02
"""Seconds that a note is held at least, so that it can be heard."""
_WIDTH = 0.45
_BASSES = range(32, 40)
_BLOCK = 1 << 17
_FADE_SECONDS = 0.05


def render_plain(score: Score, *, sample_rate: int = DEFAULT_RATE, tail_seconds: float = TAIL_SECONDS) -> Waveform:
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
    for track, place in zip(score.tracks, _places(score.tracks), strict=True):
        _play(track, place, mix, sample_rate)
    if score.note_count:
        _add_room(mix, sample_rate)
    fade = min(round(_FADE_SECONDS * sample_rate), length)
    mix[:, length - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Waveform(samples=mix, sample_rate=sample_rate)


def _places(tracks: Sequence[Track]) -> list[float]:
    """Where each track stands, -1 left to 1 right: drums and basses in the middle, others in turn right and left."""
    places, others = [], 0
    count = sum(track.instrument != DRUMS and track.program not in _BASSES for track in tracks)
    for track in tracks:
        if track.instrument == DRUMS or track.program in _BASSES or count == 1:
            places.append(0.0)
        else:
            side = 1 if others % 2 else -1
            places.append(side * _WIDTH * (1 - others // 2 / max(count, 2)))
            others += 1
    return places


def _play(track: Track, place: float, mix: Samples, rate: int) -> None:
    """Add the notes of `track` to `mix` [2, n]: those of one pitch and loudness together."""
    notes = track.notes
    layer = np.minimum(notes["velocity"].astype(np.int64) * LAYERS // 128, LAYERS - 1)
    key = notes["pitch"].astype(np.int64) * LAYERS + layer
    order = np.argsort(key, kind="stable")
    bounds = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1))
    sides = np.array([np.cos((place + 1) * np.pi / 4), np.sin((place + 1) * np.pi / 4)], np.float32)
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
    if voice.decay and voice.partials and voice.release >= 0.5:  # bells ring on
        longest = max(longest, decay_seconds(voice, pitch))
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
    noise = np.random.default_rng(0).standard_normal((2, count))
    for row in noise:
        row[1:] = 0.5 * row[1:] + 0.5 * row[:-1]  # duller than the sound itself
    echo = noise * np.exp(-6.9 / ROOM_SECONDS * time) * (time > 0.012)
    echo *= ROOM_LEVEL / np.sqrt((echo**2).sum(axis=1, keepdims=True))
    size = 1 << (_BLOCK + count - 1).bit_length()
    response = np.fft.rfft(echo.astype(np.float32), size)
    length = mix.shape[1]
    late = np.zeros((2, count), np.float32)
    for first in range(0, length, _BLOCK):
        dry = mix[:, first : first + _BLOCK].copy()
        wet = np.fft.irfft(np.fft.rfft(dry, size) * response, size).astype(np.float32)
        wet[:, :count] += late
        late = wet[:, dry.shape[1] : dry.shape[1] + count].copy()
        mix[:, first : first + dry.shape[1]] = dry + wet[:, : dry.shape[1]]
