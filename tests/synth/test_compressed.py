"""Audio files by their ending: what is exact, what is near, what is missing, what is refused."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from midi_llm.errors import MissingExtraError, OutputError
from midi_llm.synth.audio_file import to_wav_bytes
from midi_llm.synth.compressed import AUDIO_SUFFIXES, check_audio_suffix, to_audio_bytes
from midi_llm.synth.waveform import Waveform

TIME = np.arange(44_100) / 44_100
SOUND = Waveform(
    samples=np.stack([0.5 * np.sin(2 * np.pi * 440 * TIME), 0.25 * np.sin(2 * np.pi * 660 * TIME)]).astype(np.float32),
    sample_rate=44_100,
)


def test_wav_needs_nothing() -> None:
    assert to_audio_bytes(SOUND, ".WAV") == to_wav_bytes(SOUND)


@pytest.mark.parametrize("suffix", ["", ".aiff", ".mid"])
def test_an_unknown_ending_names_the_known_ones(suffix: str) -> None:
    with pytest.raises(OutputError, match=r"\.wav, \.flac, \.ogg, \.mp3"):
        to_audio_bytes(SOUND, suffix)


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES[1:])
def test_without_the_library_the_extra_is_named(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[audio\]"):
        check_audio_suffix(suffix)


def test_flac_is_exact_to_16_bits() -> None:
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(io.BytesIO(to_audio_bytes(SOUND, ".flac")), dtype="int16")
    assert rate == 44_100
    assert np.abs(samples.T - SOUND.samples * 2**15).max() <= 1


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_formats_sound_alike(suffix: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(io.BytesIO(to_audio_bytes(SOUND, suffix)))
    assert rate == 44_100
    power = np.abs(np.fft.rfft(samples[:44_100], axis=0))
    assert power.argmax(axis=0).tolist() == pytest.approx([440, 660], abs=2)


def test_what_a_format_cannot_hold_is_refused() -> None:
    pytest.importorskip("soundfile")
    with pytest.raises(OutputError, match="44100 or 48000") as caught:
        to_audio_bytes(Waveform(samples=SOUND.samples, sample_rate=96_000), ".mp3")
    assert "BytesIO" not in str(caught.value)
