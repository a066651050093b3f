"""`Piece`: a finished composition with everything needed to judge it, save it, and make it again.

Out: a `Score`, the events and ids it came from, how it ended, and how long it took. Knows no engine and no files
other than the MIDI file that `save` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midi_llm.compose.ranking import Ranking
from midi_llm.compose.take import Ending
from midi_llm.compose.verdict import Finding
from midi_llm.engines.base import FinishReason
from midi_llm.music.instruments import instrument_name
from midi_llm.music.repair import RepairReport
from midi_llm.music.score import Score
from midi_llm.music.write import write_midi
from midi_llm.tokens.codec import Events
from midi_llm.tokens.salvage import DecodeReport

DEFAULT_TEMPO = 120.0
"""Beats per minute of a score without a tempo (standard MIDI)."""

Summary = dict[str, Any]
"""JSON-able facts of a piece."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Piece:
    """One take. The same prompt, seed, settings, model, engine and version give the same piece."""

    score: Score
    events: Events
    """[n, 4]: time, duration in 10 ms ticks, instrument, pitch; no rests. As composed: `score` may be played faster or
    slower, on its grid and in another key, and is cut at the length asked for."""
    windows: tuple[tuple[int, ...], ...]
    """AMT ids as composed, per window of the context; times are relative to the window."""
    text_rows: int
    prompt: str
    seed: int
    temperature: float
    top_p: float
    guidance: float
    dynamics: float
    """0 to 1: how unequal velocities are (music/dynamics.py)."""
    quantise: float
    """How far notes were to be drawn to the grid (compose/settings.py)."""
    seconds_asked: float | None
    model: str
    engine: str
    version: str
    finish_reason: FinishReason
    ending: Ending
    reports: tuple[DecodeReport, ...]
    """What had to be repaired, one report per window that did not decode strictly; empty for a sound piece."""
    repairs: RepairReport
    """What was mended in the notes, by name (music/repair.py)."""
    findings: tuple[Finding, ...]
    """Every wish that was made, or read in the prompt, and whether the piece meets it."""
    ranking: Ranking
    attempt: int
    """0, or how often it was composed again because it was stuck, silent or a copy."""
    seconds_taken: float
    """Wall clock from the start of composing to the end of this take; takes made side by side share it."""

    @property
    def amt_ids(self) -> list[int]:
        """AMT ids of all windows in a row."""
        return [amt_id for window in self.windows for amt_id in window]

    @property
    def token_ids(self) -> list[int]:
        """The same as the model's token ids."""
        return [amt_id + self.text_rows for amt_id in self.amt_ids]

    @property
    def seconds(self) -> float:
        """Length of the music in seconds."""
        return self.score.seconds

    @property
    def tempo(self) -> float:
        """Beats per minute at the start."""
        return self.score.tempos[0].bpm if self.score.tempos else DEFAULT_TEMPO

    @property
    def rtf(self) -> float:
        """Seconds of music per second of wall clock."""
        return self.seconds / self.seconds_taken if self.seconds_taken > 0 else 0.0

    @property
    def instruments(self) -> list[str]:
        """Names of the instruments that sound, in order of their first notes."""
        return [instrument_name(track.instrument) for track in self.score.tracks]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a standard MIDI file, completely or not at all; raises `OutputError` when it exists or cannot be."""
        target = Path(path)
        write_midi(self.score, target, title=self.prompt, overwrite=overwrite)
        return target

    def summary(self) -> Summary:
        """What was made and how, as JSON-able values."""
        return {
            "prompt": self.prompt,
            "seconds": round(self.seconds, 2),
            "seconds_asked": self.seconds_asked,
            "notes": self.score.note_count,
            "instruments": self.instruments,
            "tempo": self.tempo,
            "seed": self.seed,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "guidance": self.guidance,
            "dynamics": self.dynamics,
            "quantise": self.quantise,
            "model": self.model,
            "engine": self.engine,
            "version": self.version,
            "finish_reason": self.finish_reason,
            "ending": self.ending,
            "wishes": [
                {"wish": one.wish, "asked": one.asked, "found": one.found, "met": one.met} for one in self.findings
            ],
            "ranking": {
                "total": round(self.ranking.total, 3),
                "adherence": round(self.ranking.adherence, 3),
                "health": round(self.ranking.health, 3),
                "novelty": None if self.ranking.novelty is None else round(self.ranking.novelty, 3),
            },
            "attempt": self.attempt,
            "windows": len(self.windows),
            "repaired_windows": len(self.reports),
            "repairs": {**self.repairs.changed, "double": self.repairs.removed},
            "tokens": sum(map(len, self.windows)),
            "seconds_taken": round(self.seconds_taken, 3),
            "rtf": round(self.rtf, 2),
        }
