"""What was delivered: one take of one prompt, whoever composed it, and how it came about.

A system that hands over MIDI files only has a score and nothing else; what is not known is None, and no metric
guesses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from midi_llm.evaluate.prompts import Prompt
from midi_llm.music.score import Score


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Take:
    """Take `number` (from 0) of `prompt`. `score` is what a user opens: the written MIDI file, read again."""

    prompt: Prompt
    number: int = 0
    score: Score
    seed: int | None = None
    seconds_asked: float | None = None
    """Length asked for beside the prompt; None: left to the system."""
    strict: bool | None = None
    """The model's ids decoded without repair; None: the ids are not known."""
    repairs: Mapping[str, int] = field(default_factory=dict)
    """Count by kind of what the tolerant decoder mended."""
    ending: str | None = None
    """"own": the model ended it; "asked": at the length asked for; "full": cut off by the context; None: not known."""
    tokens: int | None = None
    """Tokens drawn by the model."""
    wall_seconds: float | None = None
    """Wall clock from the request to the finished take."""
    error: str | None = None
    """Why there is no music (a file that did not parse, a system that failed); the score is then empty."""
    path: Path | None = None
    """The MIDI file."""
