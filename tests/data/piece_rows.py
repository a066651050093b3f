"""Manifest rows made up for tests: small, different from each other, and with names that must be escaped."""

from __future__ import annotations

from typing import Any

from midi_llm.data.manifest import PieceRow
from midi_llm.data.sources.base import Metadata


def piece_row(name: str, *, source: str = "folk", metadata: Metadata | None = None, **values: Any) -> PieceRow:
    """A kept row for piano and drums, 100 notes in 50 s, in train; `values` replace columns."""
    columns: dict[str, Any] = {
        "pack": f"{source}-00000",
        "sha256": name.encode().hex(),
        "split": "train",
        "notes": 100,
        "seconds": 50.0,
        "instruments": {0: 60, 128: 40},
        "bpm": 120.0,
        "metre": (4, 4),
        "key": "C major",
    }
    return PieceRow(id=f"{source}/{name}", source=source, metadata=metadata or Metadata(), **(columns | values))


def some_rows() -> list[PieceRow]:
    """Four pieces kept and three dropped, over two sources."""
    rock = Metadata(title="A", licence="CC0-1.0", attribution="x", genres=("rock",), group="g", captions=("loud",))
    song = Metadata(
        title="B", licence="CC-BY-4.0", attribution="y", genres=("rock", "song"), moods=("calm",), group="g"
    )
    default = Metadata(licence="CC-BY-4.0", attribution="z", tempo_is_known=False, synthetic=True)
    return [
        piece_row("a", metadata=rock),
        piece_row("b", metadata=song, split="valid", key="C# minor", metre=(3, 4)),
        piece_row("c", source="games", metadata=default, notes=900, seconds=100.0, instruments={0: 300, 40: 600}),
        piece_row("d", source="games", split="test", seconds=0.0, bpm=None, metre=None, key=None, instruments={}),
        piece_row("e", dropped="too few notes"),
        piece_row("f", source="games", dropped="duplicate"),
        piece_row("g", source="games", dropped="duplicate"),
    ]
