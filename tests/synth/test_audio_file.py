"""WAV files: round trips, Python's own reader and writer, foreign headers, broken files, and writing all or nothing."""

from __future__ import annotations

import io
import os
import struct
import wave
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import OutputError, SynthesisError
from midi_llm.synth.audio_file import Encoding, parse_wav, read_wav, to_wav_bytes, write_wav
from midi_llm.synth.waveform import Waveform

STEPS = {"pcm16": 2.0**-15, "pcm24": 2.0**-23, "float32": 0.0}
TONE = Waveform(samples=np.array([[0.0, 0.5, -1.0], [0.25, -0.25, 0.125]], np.float32), sample_rate=48_000)


def sound(values: list[list[float]], rate: int = 44_100) -> Waveform:
    return Waveform(samples=np.array(values, np.float32).reshape(len(values), -1), sample_rate=rate)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def form(tag: int, channels: int, rate: int, bits: int) -> bytes:
    block = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)


@given(
    st.integers(1, 3).flatmap(
        lambda channels: st.lists(
            st.lists(st.floats(-1, 1, width=32), min_size=channels, max_size=channels), max_size=20
        ).map(lambda rows: np.array(rows, np.float32).reshape(-1, channels).T.copy())
    ),
    st.sampled_from(get_args(Encoding)),
    st.integers(1, 192_000),
)
@settings(deadline=None)
def test_what_is_written_is_read_again_within_a_step(samples: np.ndarray, encoding: Encoding, rate: int) -> None:
    content = to_wav_bytes(Waveform(samples=samples, sample_rate=rate), encoding=encoding)
    back = parse_wav(content)
    assert (back.sample_rate, back.samples.shape) == (rate, samples.shape)
    assert np.abs(back.samples - samples).max(initial=0.0) <= STEPS[encoding]
    assert to_wav_bytes(back, encoding=encoding) == content


@pytest.mark.parametrize(("encoding", "width"), [("pcm16", 2), ("pcm24", 3)])
def test_python_reads_the_same_integers(encoding: Encoding, width: int) -> None:
    with wave.open(io.BytesIO(to_wav_bytes(TONE, encoding=encoding))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, width, 48_000)
        frames = file.readframes(file.getnframes())
    values = [int.from_bytes(frames[at : at + width], "little", signed=True) for at in range(0, len(frames), width)]
    assert values == [round(value * 2 ** (8 * width - 1)) for value in TONE.samples.T.ravel().tolist()]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_integers_that_python_writes_are_read(width: int) -> None:
    full = 2 ** (8 * width - 1)
    whole = [0, full // 2, -full, -full // 4]
    frames = bytes(value + 128 for value in whole) if width == 1 else b""
    frames = frames or b"".join(value.to_bytes(width, "little", signed=True) for value in whole)
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(frames)
    assert parse_wav(target.getvalue()).samples.tolist() == [[0.0, 0.5, -1.0, -0.25]]


def test_floats_of_64_bits_other_chunks_and_extensible_headers_are_read() -> None:
    guid = struct.pack("<H", 3) + bytes.fromhex("000000001000800000aa00389b71")
    header = form(0xFFFE, 1, 8000, 64) + struct.pack("<HHI", 22, 64, 4) + guid
    data = np.array([0.5, -2.0], "<f8").tobytes()
    back = parse_wav(riff((b"LIST", b"odd"), (b"fmt ", header), (b"data", data), (b"junk", b"after")))
    assert back.samples.tolist() == [[0.5, -2.0]]


def test_data_of_unknown_size_reaches_to_the_end() -> None:
    content = bytearray(riff((b"fmt ", form(1, 2, 8000, 16)), (b"data", bytes(8) + b"half")))
    at = content.index(b"data")
    content[at + 4 : at + 8] = b"\xff" * 4
    assert parse_wav(bytes(content)).samples.shape == (2, 3)
    assert parse_wav(bytes(content[:-1])).samples.shape == (2, 2)  # half a sample is left out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a WAV file"),
        (b"OggS" + bytes(40), "not a WAV file: it begins with b'OggS"),
        (riff((b"fmt ", form(1, 1, 8000, 16))), "without samples"),
        (riff((b"data", bytes(4))), "without its format"),
        (riff((b"fmt ", form(1, 1, 8000, 16)[:10]), (b"data", bytes(4))), "without its format"),
        (riff((b"fmt ", form(1, 0, 8000, 16)), (b"data", bytes(4))), "broken header: 0 channels"),
        (riff((b"fmt ", form(1, 1, 0, 16)), (b"data", bytes(4))), "broken header: 1 channels at 0 Hz"),
        (riff((b"fmt ", form(1, 1, 8000, 12)), (b"data", bytes(4))), "format 1 with 12 bits"),
        (riff((b"fmt ", form(1, 1, 8000, 4)), (b"data", bytes(4))), "format 1 with 4 bits"),
        (riff((b"fmt ", form(85, 1, 8000, 16)), (b"data", bytes(4))), "format 85 with 16 bits"),
        (riff((b"fmt ", form(3, 1, 8000, 32)), (b"data", b"\0\0\xc0\x7f")), "nan"),
        (to_wav_bytes(TONE)[:-1], "truncated"),
    ],
)
def test_what_is_broken_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(SynthesisError, match=message):
        parse_wav(content)


def test_integers_clip_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    loud = sound([[2.0, -3.0, 1.0, 0.5]])
    assert parse_wav(to_wav_bytes(loud)).samples.tolist() == [[1 - 2**-15, -1.0, 1 - 2**-15, 0.5]]
    assert "2 samples lie beyond full scale" in caplog.text
    assert parse_wav(to_wav_bytes(loud, encoding="float32")).samples.tolist() == loud.samples.tolist()


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "-odd näme.wav"
    write_wav(TONE, path, encoding="float32")
    assert read_wav(str(path)).samples.tolist() == TONE.samples.tolist()
    with pytest.raises(OutputError, match="exists"):
        write_wav(TONE, path)
    write_wav(sound([[0.5]]), path, overwrite=True)
    assert read_wav(path).samples.tolist() == [[0.5]]
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_wav(TONE, tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_places_and_wishes_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_wav(TONE, tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        write_wav(TONE, tmp_path / "no" / "a.wav")
    with pytest.raises(OutputError, match="encoding 'mp3'"):
        to_wav_bytes(TONE, encoding="mp3")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="cut it into shorter pieces"):
        to_wav_bytes(Waveform(samples=np.broadcast_to(np.float32(0), (1 << 15, 2)), sample_rate=8))
    for name in ("missing.wav", ".", "nul\0.wav"):
        with pytest.raises(SynthesisError, match=r"cannot be read|is not a path"):
            read_wav(tmp_path / name)
