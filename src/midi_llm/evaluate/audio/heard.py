"""A set of takes as an ear heard it: one vector a window, and which take each window is from.

In and out: `Heard`, and a .npz file of it, so that a set that several systems are compared with is rendered and heard
once. Knows no network and no metric.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from midi_llm.data.files import write_whole
from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Floats, Integers

VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Heard:
    """`embeddings` [windows, d] of takes in order; takes without sound have no window."""

    ear: str
    """`Ear.id`."""
    sample_rate: int
    embeddings: Floats
    take: Integers
    """Index of the take of each window [windows], ascending."""
    names: tuple[str, ...]
    """One a take, also of those left out."""
    seconds: Floats
    """Length of the sound of each take [takes]; 0: left out."""
    silent: Integers
    """1 for each take [takes] whose sound is nothing but zeros, 0 for the others."""
    loudness: Floats
    """LUFS of each take [takes]; nan where it was not measured."""

    @property
    def left_out(self) -> int:
        """Takes that are empty or failed."""
        return int((self.seconds == 0).sum())

    def means(self) -> Floats:
        """Mean direction [takes, d] of each take's windows, of length 1; nan for takes left out.

        Windows count equally; their vectors are made as long as each other before.
        """
        sums = np.zeros((len(self.names), self.embeddings.shape[1]))
        np.add.at(sums, self.take, unit(self.embeddings))
        sums[self.seconds == 0] = np.nan
        return unit(sums)


def unit(vectors: Floats) -> Floats:
    """`vectors` [n, d] with a length of 1 each; a vector of zeros stays."""
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(vectors, lengths, out=vectors.copy(), where=lengths > 0))


def check_heard(heard: Heard, name: str, *, least: int = 2) -> tuple[str, ...]:
    """Warnings about takes of the `name` set that are left out or silent.

    Raises `RequestError` that names the takes with vectors that are not finite, and for fewer than `least` windows.
    """
    broken = np.unique(heard.take[~np.isfinite(heard.embeddings).all(axis=1)])
    if len(broken):
        shown = _shown(heard, broken)
        raise RequestError(
            f"{len(broken)} takes of the {name} set have embeddings that are nan or infinite: {shown}; their sound (or"
            " the ear's weights) is broken: drop or mend them"
        )
    if len(heard.embeddings) < least:
        raise RequestError(
            f"the {name} set has {len(heard.embeddings)} windows of sound ({heard.left_out} of {len(heard.names)} takes"
            f" are empty or failed); at least {least} must be there"
        )
    silent = np.flatnonzero(heard.silent)
    warnings = []
    if heard.left_out:
        warnings.append(f"{name} set: {heard.left_out} of {len(heard.names)} takes are empty or failed and left out")
    if len(silent):
        warnings.append(
            f"{name} set: {len(silent)} of {len(heard.names)} takes are silent and counted: {_shown(heard, silent)}"
        )
    return tuple(warnings)


def _shown(heard: Heard, takes: Integers) -> str:
    """Names of the first five takes."""
    return ", ".join(heard.names[int(take)] for take in takes[:5]) + (", ..." if len(takes) > 5 else "")


def heard_facts(heard: Heard, prefix: str = "") -> dict[str, str | float | int]:
    """What a number rests on, for the report: how many takes and windows, seconds of sound, mean loudness."""
    facts: dict[str, str | float | int] = {
        "takes": len(heard.names) - heard.left_out,
        "left_out": heard.left_out,
        "windows": len(heard.embeddings),
        "seconds": round(float(heard.seconds.sum()), 3),
    }
    measured = heard.loudness[np.isfinite(heard.loudness)]
    if len(measured):
        facts["loudness_lufs"] = round(float(measured.mean()), 2)
    return {prefix + name: value for name, value in facts.items()}


def ear_facts(heard: Heard) -> dict[str, str | float | int]:
    """What heard it, for the report."""
    return {"embedding": heard.ear, "dimensions": heard.embeddings.shape[1], "sample_rate": heard.sample_rate}


def write_heard(path: Path, heard: Heard) -> None:
    """Write a .npz file, whole or not at all. Raises `DatasetError` when it cannot be written."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        version=np.array(VERSION),
        ear=np.array(heard.ear),
        sample_rate=np.array(heard.sample_rate),
        embeddings=heard.embeddings,
        take=heard.take,
        names=np.array(heard.names, dtype=np.str_),
        seconds=heard.seconds,
        silent=heard.silent,
        loudness=heard.loudness,
    )
    write_whole({path: lambda file: file.write(buffer.getvalue())})


def read_heard(path: Path, *, ear: str | None = None, names: Sequence[str] | None = None) -> Heard:
    """Read what `write_heard` wrote. `ear` and `names`, where given, must be those of the file.

    Raises `RequestError` for a file that is missing, damaged, of another version, or of other takes or another ear.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            version = int(content["version"])
            if version != VERSION:
                raise RequestError(f"{path} has version {version}, expected {VERSION}; delete it and listen again")
            heard = Heard(
                ear=str(content["ear"]),
                sample_rate=int(content["sample_rate"]),
                embeddings=content["embeddings"].astype(np.float64),
                take=content["take"].astype(np.int64),
                names=tuple(content["names"].tolist()),
                seconds=content["seconds"].astype(np.float64),
                silent=content["silent"].astype(np.int64),
                loudness=content["loudness"].astype(np.float64),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(f"{path} holds no embeddings ({error}); delete it and listen again") from error
    if ear is not None and heard.ear != ear:
        raise RequestError(f"{path} was heard by {heard.ear}, not by {ear}; delete it and listen again")
    if names is not None and heard.names != tuple(names):
        raise RequestError(f"{path} holds other takes than these; delete it and listen again")
    return heard
