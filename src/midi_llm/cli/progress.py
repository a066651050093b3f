"""What a user sees on stderr while and after composing: a bar of seconds and notes, then a short summary.

In: `Progress` and `Piece`. Nothing here touches stdout.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm

from midi_llm.compose.piece import Piece
from midi_llm.compose.take import Ending, Progress
from midi_llm.compose.verdict import Finding

ENDINGS: dict[Ending, str] = {
    "own": "ended by itself",
    "asked": "at the length asked for",
    "full": "as long as the model's context",
    "cancelled": "stopped: partial",
}
FORMAT = "{desc} |{bar}| {n:.1f}/{total:.0f} s of music{postfix} [{elapsed}<{remaining}]"
OPEN_FORMAT = "{desc}: {n:.1f} s of music{postfix} [{elapsed}]"


class Bar:
    """A progress bar over all takes; use it in a `with` block and give `update` to the composer."""

    def __init__(self, *, seconds: float | None, takes: int, quiet: bool) -> None:
        self._takes: dict[int, Progress] = {}
        self._bar = tqdm(
            total=None if seconds is None else seconds * takes,
            desc="composing" if takes == 1 else f"composing {takes} takes",
            bar_format=OPEN_FORMAT if seconds is None else FORMAT,
            postfix="0 notes",
            file=sys.stderr,
            disable=quiet,
            leave=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def update(self, progress: Progress) -> None:
        """Show one more note."""
        before = self._takes.get(progress.take)
        self._takes[progress.take] = progress
        notes = sum(take.notes for take in self._takes.values())
        self._bar.set_postfix_str(f"{notes} notes", refresh=False)
        self._bar.update(progress.seconds - (before.seconds if before else 0.0))


def _tempo(piece: Piece) -> str:
    if not piece.score.tempos:
        return f"{piece.tempo:g} bpm in the file (no clear beat was heard)"
    metre = piece.score.time_signatures[0]
    return f"{piece.tempo:.4g} bpm, {metre.numerator}/{metre.denominator}"


def _finding(finding: Finding) -> str:
    """One wish and whether it is met, such as "key A minor: met", "tempo 120 bpm: not met (98.2 bpm)"."""
    verdict = {True: "met", False: "not met", None: "cannot be told"}[finding.met]
    found = f" ({finding.found})" if finding.found else ""
    return f"{finding.wish} {finding.asked}: {verdict}{found}"


def describe(piece: Piece, path: object) -> str:
    """The summary of one piece, a few lines."""
    guided = "" if piece.guidance == 1 else f", guidance {piece.guidance:g}"
    lines = [
        f"{path}",
        f"  instruments  {', '.join(piece.instruments)}",
        f"  length       {piece.seconds:.1f} s, {piece.score.note_count} notes, {ENDINGS[piece.ending]}",
        f"  tempo        {_tempo(piece)}",
        f"  seed         {piece.seed} ({piece.model}, {piece.engine}, temperature {piece.temperature:g},"
        f" top-p {piece.top_p:g}{guided})",
        f"  time taken   {piece.seconds_taken:.1f} s, RTF {piece.rtf:.1f}",
    ]
    lines += [
        f"  {'asked for' if number == 0 else '':<11}  {_finding(one)}" for number, one in enumerate(piece.findings)
    ]
    if piece.reports:
        lines.append(f"  repaired     {len(piece.reports)} of {len(piece.windows)} windows")
    return "\n".join(lines)
