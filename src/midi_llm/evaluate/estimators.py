"""How often the estimators are right: the control metrics of real music that is asked for exactly what it is.

In: real pieces whose key, tempo or metre is known. Out: for each control metric that rests on an estimate, its mean on
them: what a composer who does everything that is asked would be credited with. The packaged table is written by
benchmarks/estimators.py and nothing else; `estimator_facts` gives a metric's line of it for the report. Instruments,
lengths, and what is written in a file, are counted and not estimated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from midi_llm.data.windows import main_metre, main_tempo
from midi_llm.errors import RequestError
from midi_llm.evaluate.analysis import analyse_takes
from midi_llm.evaluate.control import key, metre, tempo
from midi_llm.evaluate.control.wish import wishes
from midi_llm.evaluate.metric import Floats, Measured, Metric
from midi_llm.evaluate.prompts import Pace, Prompt, PromptFacts
from midi_llm.evaluate.take import Take
from midi_llm.music.features import note_table
from midi_llm.music.metre import beat_quarters
from midi_llm.music.score import Score
from midi_llm.tokens.vocab import TICKS_PER_SECOND

VERSION = 1
TABLE = Path(__file__).with_name("estimator_errors.json")
REMEASURE = "run benchmarks/estimators.py"

OPENING_SECONDS = 30.0
WINDOW_NOTES = 680
"""Notes of the longest take: 2,040 ids in a context of 2,048."""
FEW_PIECES = 5
"""Sources with fewer pieces that a metric applies to are taken together, as `OTHERS`, and left out if still so few."""
OTHERS = "others"

ESTIMATED: tuple[Metric, ...] = (*tempo.HEARD, key.KEY, key.KEY_OR_RELATIVE, key.MODE, metre.HEARD, metre.KIND_HEARD)
"""The metrics that rest on an estimate."""

EXCERPTS: Mapping[str, Callable[[Floats], int]] = {
    "opening": lambda onsets: int(np.searchsorted(onsets, onsets[0] + OPENING_SECONDS)),
    "window": lambda onsets: WINDOW_NOTES,
}
"""How many of the sorted onsets (seconds) belong to the first 30 s, or to a take of the greatest length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RealPiece:
    """A whole piece, with its tempo map and metres as written."""

    source: str
    score: Score
    key: str | None = None
    """One of `music.key.KEYS`; None where nobody annotated it."""
    tempo_is_known: bool = True
    """False where the file's tempo is a default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """A metric's mean `value`, to 4 digits, over `count` pieces."""

    value: float
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorRow:
    """A metric on one kind of excerpt: the mean over `sources`, each weighing the same, of `count` pieces in all."""

    value: float
    count: int
    sources: Mapping[str, Accuracy]


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorTable:
    """`excerpts` maps a kind of excerpt to rows by the metric's name; the rest says where the figures are from."""

    excerpts: Mapping[str, Mapping[str, EstimatorRow]]
    date: str
    commit: str
    corpus: str
    pieces: int


def measure_estimators(pieces: Sequence[RealPiece]) -> dict[str, dict[str, EstimatorRow]]:
    """Rows by kind of excerpt (`EXCERPTS`) and metric; one that applies to fewer than `FEW_PIECES` pieces is left out.

    Raises `RequestError` without pieces.
    """
    if not pieces:
        raise RequestError("there are no pieces to measure the estimators on; at least one is needed")
    sources = np.array([piece.source for piece in pieces])
    table = {}
    for excerpt in EXCERPTS:
        takes = [ask_for_itself(piece, excerpt) for piece in pieces]
        asked = wishes(takes, analyse_takes(takes))
        measured = [one for family in (tempo, key, metre) for one in family.evaluate(asked)]
        rows = {one.metric.name: _row(one, sources) for one in measured if one.metric in ESTIMATED}
        table[excerpt] = {name: row for name, row in rows.items() if row.count}
    return table


def ask_for_itself(piece: RealPiece, excerpt: str) -> Take:
    """An excerpt (of `EXCERPTS`) as the take of a prompt that asks for what it is.

    It begins at the first onset; times are rounded to 10 ms as those of takes are, tempo map and metres are taken away.
    A tempo or metre is asked for where one holds throughout, a pace where quarters and felt beats agree on it, a key
    where it is annotated: passages that modulate count against the estimator.
    """
    onsets = note_table(piece.score).start
    if not len(onsets):
        return Take(prompt=Prompt(id=piece.source, text=piece.source), score=Score())
    start, stop = float(onsets[0]), float(onsets[: EXCERPTS[excerpt](onsets)][-1])
    bpm, is_steady = main_tempo(piece.score, start, stop)
    known = bpm if is_steady and piece.tempo_is_known and piece.score.tempos else None
    signature = main_metre(piece.score, start, stop)
    facts = PromptFacts(
        bpm=known,
        pace=_pace(known, signature),
        key=piece.key,
        mode=piece.key.split()[1] if piece.key else None,
        metre=signature,
    )
    return Take(prompt=Prompt(id=piece.source, text=piece.source, facts=facts), score=_cut(piece.score, start, stop))


def _pace(bpm: float | None, signature: tuple[int, int] | None) -> Pace | None:
    if bpm is None or signature is None:
        return None
    quarters, felt = tempo.pace_of(bpm), tempo.pace_of(bpm / beat_quarters(signature))
    return quarters if quarters == felt else None


def _cut(score: Score, start: float, stop: float) -> Score:
    """The notes that begin from `start` to `stop` (seconds), in ticks from second 0 on, without tempo and metre."""
    tracks = []
    for track in score.tracks:
        notes = track.notes[(track.notes["time"] >= start) & (track.notes["time"] <= stop)].copy()
        notes["time"] = np.rint((notes["time"] - start) * TICKS_PER_SECOND) / TICKS_PER_SECOND
        notes["duration"] = np.maximum(np.rint(notes["duration"] * TICKS_PER_SECOND), 1) / TICKS_PER_SECOND
        tracks.append(replace(track, notes=notes))
    return Score(tracks=tuple(tracks))


def _row(measured: Measured, sources: npt.NDArray[np.str_]) -> EstimatorRow:
    """Means by source, small sources together, and the mean of these; of no pieces where all are too few."""
    applies = ~np.isnan(measured.values)
    values = measured.values[applies]
    names, which, counts = np.unique(sources[applies], return_inverse=True, return_counts=True)
    groups = np.where(counts[which] >= FEW_PIECES, names[which], OTHERS)
    by_source = {
        str(name): Accuracy(value=round(float(values[groups == name].mean()), 4), count=int((groups == name).sum()))
        for name in np.unique(groups)
        if (groups == name).sum() >= FEW_PIECES
    }
    mean = round(float(np.mean([one.value for one in by_source.values()])), 4) if by_source else float("nan")
    return EstimatorRow(value=mean, count=sum(one.count for one in by_source.values()), sources=by_source)


def write_errors(table: EstimatorTable, path: Path = TABLE) -> None:
    """Write `table` as JSON with its version; `load_errors` reads it."""
    content = {"version": VERSION} | asdict(table)
    path.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def load_errors(path: Path = TABLE) -> EstimatorTable:
    """Read a table. Raises `RequestError` when it is missing, damaged or of another version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise RequestError(f"{path} has version {content['version']!r}, expected {VERSION}; {REMEASURE}")
        return EstimatorTable(
            excerpts={
                excerpt: {name: _row_from_json(row) for name, row in rows.items()}
                for excerpt, rows in content["excerpts"].items()
            },
            date=content["date"],
            commit=content["commit"],
            corpus=content["corpus"],
            pieces=content["pieces"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{path} is no table of estimator errors ({error!r}); {REMEASURE}") from error


def _row_from_json(row: Mapping[str, Any]) -> EstimatorRow:
    sources = {
        name: Accuracy(value=float(one["value"]), count=int(one["count"])) for name, one in row["sources"].items()
    }
    return EstimatorRow(value=float(row["value"]), count=int(row["count"]), sources=sources)


def estimator_facts(metric_name: str, table: EstimatorTable | None = None) -> dict[str, str | float]:
    """What a report says beside a control metric: its estimator's own value on real music; empty for other families.

    `estimator` is a sentence; `estimator_value` and `estimator_count` are its figures for the openings.
    """
    if not metric_name.startswith("control."):
        return {}
    if metric_name not in {metric.name for metric in ESTIMATED}:
        return {"estimator": "none: counted"}
    excerpts = (table or load_errors()).excerpts
    opening, window = (excerpts.get(excerpt, {}).get(metric_name) for excerpt in ("opening", "window"))
    if opening is None or window is None:
        return {"estimator": f"its error is not measured: {REMEASURE}"}
    said = (
        f"{opening.value:.2f} on 30 s of real music that was asked for what it is"
        f" (mean of {len(opening.sources)} sources, n = {opening.count}); {window.value:.2f} on {WINDOW_NOTES} notes"
    )
    return {"estimator": said, "estimator_value": opening.value, "estimator_count": opening.count}
