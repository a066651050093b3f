"""Text to editable multitrack MIDI.

    import midi_llm
    midi_llm.compose("a calm piano piece", seconds=30, seed=1).save("piece.mid")

Everything but `compose` and the errors is loaded on first use: importing this package loads no numpy, no engine
and no torch. `compose` is also the name of the floor that defines it; binding the function here, once, right after
that package is first imported, makes `midi_llm.compose` the function whatever else is imported later.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from midi_llm.compose import compose, compose_takes
from midi_llm.errors import (
    CheckpointError,
    DatasetError,
    EngineError,
    MidiLLMError,
    MidiReadError,
    MissingExtraError,
    OutputError,
    PromptError,
    RequestError,
    ServiceError,
    SynthesisError,
    TokenError,
    TrainingError,
)
from midi_llm.version import VERSION

if TYPE_CHECKING:
    from midi_llm.compose.asked import asked_for
    from midi_llm.compose.composer import Composer
    from midi_llm.compose.piece import Piece
    from midi_llm.compose.take import Progress
    from midi_llm.compose.verdict import Finding
    from midi_llm.compose.wishes import Wishes
    from midi_llm.music.read import read_midi
    from midi_llm.music.score import Note, Score, Track
    from midi_llm.music.write import write_midi

__version__ = VERSION

__all__ = [
    "CheckpointError",
    "Composer",
    "DatasetError",
    "EngineError",
    "Finding",
    "MidiLLMError",
    "MidiReadError",
    "MissingExtraError",
    "Note",
    "OutputError",
    "Piece",
    "Progress",
    "PromptError",
    "RequestError",
    "Score",
    "ServiceError",
    "SynthesisError",
    "TokenError",
    "Track",
    "TrainingError",
    "Wishes",
    "__version__",
    "asked_for",
    "compose",
    "compose_takes",
    "read_midi",
    "write_midi",
]

_LAZY = {
    "Composer": "midi_llm.compose.composer",
    "Finding": "midi_llm.compose.verdict",
    "Note": "midi_llm.music.score",
    "Piece": "midi_llm.compose.piece",
    "Progress": "midi_llm.compose.take",
    "Score": "midi_llm.music.score",
    "Track": "midi_llm.music.score",
    "Wishes": "midi_llm.compose.wishes",
    "asked_for": "midi_llm.compose.asked",
    "read_midi": "midi_llm.music.read",
    "write_midi": "midi_llm.music.write",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(__all__)
