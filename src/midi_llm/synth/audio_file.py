"""WAV files: `write_wav(waveform, path)`, `read_wav(path)`, and the same with bytes, `to_wav_bytes` and `parse_wav`.

Written are 16-bit and 24-bit integers and 32-bit floats; read are integers of 8 to 32 bits and floats of 32 and 64,
in plain and extensible headers, of any rate and number of channels. Other chunks are skipped. Python's `wave` module
reads no floats, so the chunks are walked here. A file is written whole or not at all. Knows no compressed formats.
Integers are sample times 2 ** (bits - 1), rounded and clipped, without dither; reading divides by the same.
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from midi_llm.errors import OutputError, SynthesisError
from midi_llm.synth.waveform import Samples, Waveform
from midi_llm.whole_file import check_target, write_file

Encoding = Literal["pcm16", "pcm24", "float32"]
"""How samples are written. Integers clip what lies beyond full scale; floats keep it."""

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WAYS: dict[str, tuple[int, int]] = {"pcm16": (_PCM, 16), "pcm24": (_PCM, 24), "float32": (_FLOAT, 32)}
_MAX_BYTES = (1 << 32) - 1
_UNKNOWN_SIZE = _MAX_BYTES
"""The size that a writer states which cannot go back to correct it: the data reaches to the end of the file."""

_BLOCK = 1 << 18

_log = logging.getLogger(__name__)


def write_wav(waveform: Waveform, path: str | Path, *, encoding: Encoding = "pcm16", overwrite: bool = False) -> None:
    """Write `waveform` to `path`, completely or not at all (a temporary file beside it, then a rename).

    Raises `OutputError` for an existing file (unless `overwrite`), a missing or unwritable folder, and as
    `to_wav_bytes`.
    """
    path = Path(path)
    check_target(path, overwrite=overwrite)
    write_file(to_wav_bytes(waveform, encoding=encoding), path)


def to_wav_bytes(waveform: Waveform, *, encoding: Encoding = "pcm16") -> bytes:
    """Return the bytes of a WAV file; the same waveform gives the same bytes. A warning is logged when it clips.

    Raises `OutputError` for an unknown encoding, and for sound that is too long or has too many channels (4 GiB and
    65,535 are what the format can say).
    """
    if encoding not in _WAYS:
        raise OutputError(f"encoding {encoding!r} is not known; choose one of {', '.join(_WAYS)}")
    tag, bits = _WAYS[encoding]
    rate, block = waveform.sample_rate, waveform.channels * bits // 8
    size = waveform.samples.shape[1] * block
    if size > _MAX_BYTES - 64 or block >= 1 << 16 or rate * block > _MAX_BYTES:
        raise OutputError(
            f"{waveform.seconds:,.0f} s of {waveform.channels} channels at {rate} Hz do not fit a WAV file"
            " (4 GiB, 65,535 bytes for all channels of a sample); cut it into shorter pieces"
        )
    interleaved = waveform.samples.T  # [n, channels]
    data = interleaved.astype("<f4").tobytes() if tag == _FLOAT else _integers(interleaved, bits)
    chunks = _chunk(b"fmt ", struct.pack("<HHIIHH", tag, waveform.channels, rate, rate * block, block, bits))
    if tag == _FLOAT:  # every format but integers states its length in samples as well
        chunks += _chunk(b"fact", struct.pack("<I", waveform.samples.shape[1]))
    chunks += _chunk(b"data", data)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def read_wav(path: str | Path) -> Waveform:
    """Read the WAV file at `path`; raises `SynthesisError` when it is missing, unreadable, broken or no such file."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SynthesisError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL byte in the path
        raise SynthesisError(f"{str(path)!r} is not a path: {error}") from error
    return parse_wav(content, name=str(path))


def parse_wav(content: bytes, name: str = "<bytes>") -> Waveform:
    """Read a WAV file from `content`; `name` is what errors call it. See `read_wav`."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise SynthesisError(f"{name} is not a WAV file: it begins with {content[:12]!r}; convert it to WAV first")
    chunks = _chunks(content, name)
    header, data = chunks.get(b"fmt ", b""), chunks.get(b"data")
    if len(header) < 16 or data is None:
        raise SynthesisError(f"{name} is a WAV file without its format or without samples: it is truncated or broken")
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", header[:16])
    if tag == _EXTENSIBLE and len(header) >= 26:
        tag = struct.unpack("<H", header[24:26])[0]
    if not channels or not rate or block != channels * (bits // 8):
        raise SynthesisError(
            f"{name} has a broken header: {channels} channels at {rate} Hz, {bits} bits, {block} bytes"
        )
    usable = len(data) - len(data) % block if block else 0
    flat = _decode(data[:usable], tag, bits, name)
    samples = np.ascontiguousarray(flat.reshape(-1, channels).T)
    if not np.isfinite(samples).all():
        raise SynthesisError(f"{name} has samples that are no numbers (nan or infinite): it is broken; export it again")
    return Waveform(samples=samples, sample_rate=rate)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _chunks(content: bytes, name: str) -> dict[bytes, memoryview]:
    """The bodies of the chunks up to the samples, which come last as far as we care."""
    view, position, found = memoryview(content), 12, {}
    while position + 8 <= len(content) and b"data" not in found:
        kind, size = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        position += 8
        if kind == b"data" and size == _UNKNOWN_SIZE:
            size = len(content) - position
        if position + size > len(content):
            raise SynthesisError(
                f"{name}: a chunk should end at byte {position + size}, the file has {len(content)} bytes:"
                " it is truncated"
            )
        found[kind] = view[position : position + size]
        position += size + size % 2
    return found


def _integers(samples: Samples, bits: int) -> bytes:
    """Samples [n, channels] as little-endian integers of 16 or 24 bits, a block after the other to spare memory."""
    full = 1 << (bits - 1)
    if clipped := int(np.count_nonzero(np.abs(samples) > 1)):
        _log.warning("%d samples lie beyond full scale and are clipped; render with less gain", clipped)
    blocks = (samples[start : start + _BLOCK] for start in range(0, len(samples), _BLOCK))
    return b"".join(_whole(block, full) for block in blocks)


def _whole(samples: Samples, full: int) -> bytes:
    """Samples [n, channels] as integers with `full` for full scale."""
    whole = np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1).astype("<i4")
    if full == 1 << 15:
        return whole.astype("<i2").tobytes()
    return whole.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()


def _decode(data: memoryview, tag: int, bits: int, name: str) -> npt.NDArray[np.float32]:
    """Samples [n * channels] of the bytes of a data chunk."""
    if tag == _FLOAT and bits in {32, 64}:
        return np.frombuffer(data, f"<f{bits // 8}").astype(np.float32)
    if tag != _PCM or bits not in {8, 16, 24, 32}:
        raise SynthesisError(
            f"{name} holds samples of format {tag} with {bits} bits; read are integers of 8, 16, 24 and 32 bits and"
            " floats of 32 and 64: convert it first"
        )
    if bits == 8:
        whole = np.frombuffer(data, np.uint8).astype(np.int32) - 128
    elif bits == 24:
        wide = np.zeros((len(data) // 3, 4), np.uint8)  # in the upper three bytes, so that the sign is in its place
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        whole, bits = wide.view("<i4")[:, 0], 32
    else:
        whole = np.frombuffer(data, f"<i{bits // 8}")
    return (whole / float(1 << (bits - 1))).astype(np.float32)
