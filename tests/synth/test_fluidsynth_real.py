"""The real FluidSynth with a real sound font: pitch, place, length, and that it repeats itself. Run: -m fluidsynth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midi_llm.errors import SynthesisError
from midi_llm.music.score import DRUMS, Note, Score, Tempo, Track, note_array
from midi_llm.music.write import to_midi_bytes
from midi_llm.synth.fluidsynth import fluidsynth_version, render
from midi_llm.synth.loudness import integrated_loudness
from midi_llm.synth.sound_font import HOW_TO_GET, SoundFont, find_sound_font
from midi_llm.synth.waveform import Waveform
from music.smf_builder import midi, on, program

pytestmark = pytest.mark.fluidsynth

VIOLIN, WOODBLOCK = 40, 115
A4 = Score(tracks=(Track(program=VIOLIN, notes=note_array([Note(time=0.5, duration=3.0, pitch=69)])),))


@pytest.fixture(scope="module")
def font() -> SoundFont:
    found = find_sound_font()
    assert found is not None, f"no sound font; {HOW_TO_GET}"
    return found


def band() -> Score:
    """Four tracks with drums, long notes, and repeated ones."""
    instruments = (0, 33, 48, DRUMS)
    tracks = []
    for row, instrument in enumerate(instruments):
        notes = [
            Note(time=0.25 * at + 0.01 * row, duration=0.2 + 0.3 * row, pitch=38 + 7 * row + at % 5, velocity=60 + at)
            for at in range(40)
        ]
        tracks.append(Track(program=instrument % DRUMS, is_drum=instrument == DRUMS, notes=note_array(notes)))
    return Score(tracks=tuple(tracks))


def loudest_hertz(sound: Waveform, start: float, stop: float) -> float:
    piece = sound.cut(start, stop).mono()
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 1 << 20))
    return float(np.argmax(spectrum) * sound.sample_rate / (1 << 20))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_held_a_is_440_hz_at_its_place_and_of_its_length(font: SoundFont, rate: int) -> None:
    sound = render(A4, sound_font=font, sample_rate=rate, tail_seconds=1.5)
    assert sound.samples.shape == (2, 5 * rate)
    cents = 1200 * np.log2(loudest_hertz(sound, 1.5, 3.0) / 440)
    assert abs(cents) < 10
    level = [float(np.abs(sound.cut(at, at + 0.25).samples).max()) for at in (0.2, 1.5, 3.0)]
    assert level[0] < 1e-4 < 0.01 < min(level[1:])


def test_the_same_music_gives_the_same_samples(font: SoundFont) -> None:
    first, second = (render(band(), sound_font=font) for _ in range(2))
    assert (first.samples == second.samples).all()
    assert -60 < integrated_loudness(first) < -5
    other = render(replace(band(), tracks=band().tracks[:3]), sound_font=font)
    assert not (first.samples[:, : other.samples.shape[1]] == other.samples).all()


def test_a_score_sounds_the_same_whatever_its_tempo_map(font: SoundFont) -> None:
    rubato = tuple(Tempo(time=0.1 * at, bpm=80.0 + at % 7) for at in range(90))
    first, second = (render(replace(band(), tempos=tempos), sound_font=font) for tempos in ((), rubato))
    assert (first.samples == second.samples).all()


def test_onsets_stand_where_the_score_has_them(font: SoundFont) -> None:
    times = [0.5 + 0.7123 * at for at in range(12)]
    notes = note_array([Note(time=time, duration=0.1, pitch=76, velocity=110) for time in times])
    sound = render(Score(tracks=(Track(program=WOODBLOCK, notes=notes),)), sound_font=font)
    for time in times:
        heard = np.abs(sound.cut(time - 0.02, time + 0.08).samples).max(axis=0)
        first = int(np.flatnonzero(heard > 0.05 * heard.max())[0]) / sound.sample_rate - 0.02
        assert -0.001 < first < 0.008


def test_gain_scales_the_samples(font: SoundFont) -> None:
    soft, loud = (render(A4, sound_font=font, gain=gain).samples for gain in (0.1, 0.4))
    assert np.allclose(loud, 4 * soft, rtol=0, atol=1e-6)


def test_a_note_without_end_stops_after_the_tail(font: SoundFont) -> None:
    content = midi(program(0, VIOLIN) + on(480, 69))
    sound = render(content, sound_font=font, tail_seconds=2.0, time_limit=20)
    assert sound.seconds == pytest.approx(0.5 + 0.25 + 2.0, abs=1e-4)
    assert np.abs(sound.cut(2.0, 2.5).samples).max() > 0.01


def test_what_fluidsynth_cannot_use_is_an_error_although_it_reports_success(font: SoundFont) -> None:
    odd_metre = b"\x00\xff\x58\x01\x04"  # of one byte instead of four: read here, given up there
    with pytest.raises(SynthesisError, match="does not understand this MIDI file"):
        render(midi(odd_metre + on(0, 69)), sound_font=font)


def test_a_broken_font_is_an_error_although_fluidsynth_reports_success(font: SoundFont, tmp_path: Path) -> None:
    path = tmp_path / "broken.sf2"
    path.write_bytes(font.path.read_bytes()[:100_000])
    with pytest.raises(SynthesisError, match="cannot use"):
        render(A4, sound_font=replace(font, path=path))


def test_a_file_and_its_score_sound_alike(font: SoundFont) -> None:
    score = band()
    first, second = (render(music, sound_font=font) for music in (score, to_midi_bytes(score)))
    assert first.seconds == pytest.approx(second.seconds, abs=0.001)  # the file's notes stand on ticks
    assert (first.cut(0, 13).samples == second.cut(0, 13).samples).all()  # 120 bpm in both


def test_the_version_has_three_numbers() -> None:
    assert len([int(part) for part in fluidsynth_version().split(".")]) == 3
