"""The built-in synthesizer: pitch, time, envelope and role of what it plays, and that tracks add up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from midi_llm.errors import SynthesisError
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.synth.drum_kit import stroke
from midi_llm.synth.loudness import integrated_loudness, match_loudness, peak
from midi_llm.synth.plain import render_plain
from midi_llm.synth.tones import hertz
from midi_llm.synth.waveform import Waveform

RATE = 22_050


def alone(program: int, pitch: int = 60, *, seconds: float = 1.0, time: float = 0.0, velocity: int = 80) -> Score:
    notes = note_array([Note(time=time, duration=seconds, pitch=pitch, velocity=velocity)])
    return Score(tracks=(Track(program=program, notes=notes),))


def play(score: Score, **options: float) -> Waveform:
    return render_plain(score, sample_rate=RATE, **options)


def level(sound: Waveform, start: float, stop: float) -> float:
    """Root mean square in dB."""
    return 10 * math.log10(float(np.mean(sound.cut(start, stop).samples ** 2)) + 1e-20)


def share_near(sound: Waveform, frequencies: list[float], width: float = 0.03) -> float:
    """Share of the energy within `width` of any of `frequencies`."""
    power = np.abs(np.fft.rfft(sound.mono() * np.hanning(len(sound.mono())))) ** 2
    bins = np.fft.rfftfreq(len(sound.mono()), 1 / sound.sample_rate)
    near = np.any([np.abs(bins / f - 1) < width for f in frequencies], axis=0)
    return float(power[near].sum() / power.sum())


@pytest.mark.parametrize("program", [0, 6, 16, 24, 30, 33, 40, 48, 52, 56, 65, 71, 73, 80, 89, 105])
@pytest.mark.parametrize("pitch", [45, 69])
def test_a_note_sounds_at_its_pitch_and_not_a_quarter_tone_beside_it(program: int, pitch: int) -> None:
    sound = play(alone(program, pitch), tail_seconds=0)
    harmonics = [hertz(pitch) * number for number in range(1, 7)]
    assert share_near(sound, harmonics, 0.012) > 0.75
    assert share_near(sound, [f * 1.03 for f in harmonics], 0.012) < 0.1


def test_a_note_begins_when_it_is_due_and_ends_soon_after_its_end() -> None:
    sound = play(alone(16, time=0.5, seconds=1.0))
    assert level(sound, 0, 0.49) < -100
    assert level(sound, 0.55, 1.5) > level(sound, 1.7, 2.0) + 15  # the room goes on
    assert sound.seconds == pytest.approx(4.5, abs=1e-3)
    assert level(sound, 4.3, 4.5) < -60


@pytest.mark.parametrize("program", [0, 11, 24, 33, 45, 105, 115])
def test_what_is_struck_or_plucked_dies_away(program: int) -> None:
    sound = play(alone(program, seconds=2.5))
    assert level(sound, 0.05, 0.3) > level(sound, 2.0, 2.4) + 6


@pytest.mark.parametrize("program", [16, 40, 48, 56, 71, 73, 80, 89])
def test_what_is_blown_bowed_or_held_goes_on(program: int) -> None:
    sound = play(alone(program, seconds=2.5))
    assert abs(level(sound, 1.0, 1.4) - level(sound, 2.0, 2.4)) < 3  # two players beat


def test_strings_begin_softly_and_a_piano_at_once() -> None:
    soft, hard = (play(alone(program)) for program in (48, 0))
    assert level(soft, 0, 0.02) < level(soft, 0.3, 0.5) - 6
    assert level(hard, 0.005, 0.025) > level(hard, 0.3, 0.5)


def test_a_louder_note_is_louder_and_brighter() -> None:
    soft, loud = (play(alone(0, 48, velocity=velocity)) for velocity in (30, 120))
    assert integrated_loudness(loud) > integrated_loudness(soft) + 12
    bright = [hertz(48) * number for number in range(5, 20)]
    assert share_near(loud, bright, 0.01) > 1.5 * share_near(soft, bright, 0.01)


def test_every_instrument_and_every_drum_is_heard() -> None:
    for program in range(128):
        sound = render_plain(alone(program, 64, seconds=0.3), sample_rate=8_000, tail_seconds=0.1)
        assert -30 < level(sound, 0, 0.4) < 12, program
    for pitch in range(128):
        sound = stroke(pitch, RATE)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() > 0.05, pitch


def test_drums_are_low_and_high_as_they_should_be() -> None:
    def centre(pitch: int) -> float:
        power = np.abs(np.fft.rfft(stroke(pitch, 44_100).astype(np.float64))) ** 2
        return float((power * np.linspace(0, 22_050, len(power))).sum() / power.sum())

    kick, toms, snare, hat = centre(36), [centre(p) for p in (41, 43, 45, 47, 48, 50)], centre(38), centre(42)
    assert kick < 200 < snare < hat
    assert toms == sorted(toms)
    assert len(stroke(46, 44_100)) > 3 * len(stroke(42, 44_100))  # an open hi-hat rings


def band() -> Score:
    rng = np.random.default_rng(2)
    tracks = [
        Track(
            program=program,
            notes=note_array(
                Note(time=i / 3, duration=float(rng.uniform(0.1, 1)), pitch=int(rng.integers(40, 80)), velocity=90)
                for i in range(12)
            ),
        )
        for program in (0, 25, 33, 48)
    ]
    beat = note_array(Note(time=i / 3, duration=0.1, pitch=(36, 42, 38, 42)[i % 4], velocity=100) for i in range(12))
    return Score(tracks=(*tracks, Track(is_drum=True, notes=beat)))


def test_the_same_score_gives_the_same_samples_and_tracks_alone_add_up() -> None:
    score = band()
    sound = play(score)
    assert (play(score).samples == sound.samples).all()
    total = np.zeros_like(sound.samples)
    for track in score.tracks:
        part = play(Score(tracks=(track,))).samples
        total[:, : part.shape[1]] += part
    assert np.abs(total - sound.samples)[:, : -RATE // 10].max() < 2e-3 * np.abs(sound.samples).max()
    assert np.abs(sound.samples[0] - sound.samples[1]).max() > 0.1  # it is stereo


def test_what_is_made_for_listening_is_loud_enough_and_does_not_clip() -> None:
    sound = match_loudness(play(band()), -16)
    assert integrated_loudness(sound) <= -16 + 0.1
    assert integrated_loudness(sound) > -22
    assert peak(sound) <= -1 + 1e-3


def test_long_notes_and_short_ones_and_many_at_once_are_finite() -> None:
    notes = note_array([Note(time=0, duration=0, pitch=0, velocity=127), Note(time=0, duration=60, pitch=127)])
    sound = render_plain(
        Score(tracks=(Track(program=89, notes=notes), Track(program=14, notes=notes))), sample_rate=8000
    )
    assert np.isfinite(sound.samples).all()


def test_a_note_held_too_long_fades_without_a_click() -> None:
    sound = render_plain(alone(16, seconds=40.0), sample_rate=8_000, tail_seconds=0)
    steps = np.abs(np.diff(sound.samples[0]))
    assert level(sound, 32, 33) < -100 < level(sound, 28, 29)
    assert steps[8_000 * 29 :].max() <= 1.05 * steps[8_000 * 5 : 8_000 * 29].max()


def test_without_notes_there_is_a_silent_tail() -> None:
    sound = play(Score(), tail_seconds=0.5)
    assert sound.samples.shape == (2, RATE // 2)
    assert not sound.samples.any()


@pytest.mark.parametrize("rate", [0, 7_999, 96_001])
def test_a_rate_out_of_range_is_refused(rate: int) -> None:
    with pytest.raises(SynthesisError, match="8,000 to 96,000"):
        render_plain(band(), sample_rate=rate)
