"""Weights of a checkpoint folder: safetensors files read through a memory map, with numpy alone.

In: a folder with `model.safetensors`, or with shards and `model.safetensors.index.json`. Out: float32 arrays, whole or
by rows, so that a single embedding row costs one page and not the table. numpy has no bfloat16: its 16 bits are the
upper half of a float32. Also writes such files. Knows no architecture and no tensor names.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from midi_llm.errors import CheckpointError

FloatArray = npt.NDArray[np.float32]
StoredDtype = Literal["F32", "F16", "BF16"]

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_RAW_DTYPES: dict[str, npt.DTypeLike] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors reference implementation
_SAMPLES, _SAMPLE_BYTES = 16, 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """Where one tensor lies: its dtype as stored and a read-only view of its raw values (uint16 for BF16)."""

    dtype: StoredDtype
    raw: npt.NDArray[Any]


class Weights:
    """The tensors of the checkpoint in `folder`, by name. `CheckpointError` when files are missing or broken."""

    def __init__(self, folder: Path) -> None:
        self.paths = weight_files(folder)
        self._folder = folder
        self._tensors: dict[str, StoredTensor] = {}
        for path in self.paths:
            self._tensors.update(_map_file(path))

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    @property
    def names(self) -> tuple[str, ...]:
        """All tensor names."""
        return tuple(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of tensor `name`."""
        return self._find(name).raw.shape

    def stored(self, name: str) -> StoredTensor:
        """Tensor `name` as stored: its dtype and a read-only view."""
        return self._find(name)

    def rows(self, name: str, rows: slice | npt.NDArray[np.int64] | None = None) -> FloatArray:
        """Float32 copy of tensor `name`, or of some of its rows (first axis)."""
        tensor = self._find(name)
        raw = tensor.raw if rows is None else tensor.raw[rows]
        if tensor.dtype == "BF16":
            widened = raw.astype(np.uint32)
            widened <<= 16
            return widened.view(np.float32)
        return raw.astype(np.float32)

    def fingerprint(self) -> str:
        """Digest of the sizes, headers and 16 samples of each file: tells two trainings apart without reading all."""
        digest = hashlib.sha256()
        for path in self.paths:
            size = path.stat().st_size
            with path.open("rb") as file:
                header_bytes = struct.unpack("<Q", file.read(8))[0]
                digest.update(f"{path.name} {size} {header_bytes}\n".encode())
                digest.update(file.read(header_bytes))
                for sample in range(_SAMPLES):
                    file.seek(8 + header_bytes + (size - 8 - header_bytes) * sample // _SAMPLES)
                    digest.update(file.read(_SAMPLE_BYTES))
        return digest.hexdigest()

    def sha256(self) -> str:
        """Digest of every byte of the weight files, in order (seconds for a large model)."""
        digest = hashlib.sha256()
        for path in self.paths:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def _find(self, name: str) -> StoredTensor:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"{self._folder} has no tensor {name!r}; the checkpoint is incomplete: get it again")
        return tensor


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars of transformers within the block: a library prints nothing. Needs transformers."""
    from transformers.utils import logging

    progress: Any = logging
    showed = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    try:
        yield
    finally:
        if showed:
            progress.enable_progress_bar()


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Name the safetensors files of `folder`, sorted; `CheckpointError` when there are none or one is missing."""
    single = folder / WEIGHTS_FILE
    if single.is_file():
        return (single,)
    index = folder / INDEX_FILE
    if not index.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS_FILE}; a checkpoint folder in safetensors format is needed")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is not a safetensors index ({error}); get the checkpoint again") from error
    paths = tuple(folder / Path(name).name for name in names)
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}, named in {INDEX_FILE}; get the checkpoint again")
    return paths


def write_safetensors(path: Path, tensors: Mapping[str, FloatArray], *, dtype: StoredDtype = "BF16") -> None:
    """Write float32 `tensors` to `path`, rounded to `dtype` (to nearest even)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        stop = offset + tensor.size * np.dtype(_RAW_DTYPES[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(narrow(np.ascontiguousarray(tensor, dtype=np.float32), dtype).tobytes())


def narrow(values: FloatArray, dtype: StoredDtype) -> npt.NDArray[Any]:
    """Round float32 `values` to the stored form of `dtype`, to nearest even (uint16 bits for BF16)."""
    if dtype != "BF16":
        return values.astype(_RAW_DTYPES[dtype])
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _map_file(path: Path) -> dict[str, StoredTensor]:
    size = path.stat().st_size
    if size < 8:
        raise CheckpointError(f"{path} has {size} bytes and is not a safetensors file; get the checkpoint again")
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header_bytes = struct.unpack("<Q", data[:8])[0]
    if not 2 <= header_bytes <= min(size - 8, _MAX_HEADER_BYTES):
        raise CheckpointError(f"{path} is not a safetensors file (or only a git-lfs pointer); get the checkpoint again")
    try:
        header = json.loads(data[8 : 8 + header_bytes])
        entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
        return dict(_views(data, 8 + header_bytes, entries))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a broken header ({error}); get the checkpoint again") from error


def _views(data: mmap.mmap, base: int, entries: list[tuple[str, Any]]) -> Iterable[tuple[str, StoredTensor]]:
    for name, entry in entries:
        if entry["dtype"] not in _RAW_DTYPES:
            raise ValueError(f"{name} is stored as {entry['dtype']}; allowed is {', '.join(_RAW_DTYPES)}")
        dtype, shape = np.dtype(_RAW_DTYPES[entry["dtype"]]), tuple(entry["shape"])
        start, stop = entry["data_offsets"]
        if stop - start != math.prod(shape) * dtype.itemsize or base + stop > len(data):
            raise ValueError(f"{name} spans bytes {start}..{stop} of {len(data) - base}, its shape is {shape}")
        raw = np.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=base + start).reshape(shape)
        yield name, StoredTensor(dtype=entry["dtype"], raw=raw)
