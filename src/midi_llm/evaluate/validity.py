"""Validity: whether a take is music at all: decoded, ended, as long as asked, and not stuck.

Conventions: judges every take, failed ones too; what is not known of a take is nan, never guessed. A take without notes
has no polyphony, drift or faulty notes: it counts in `validity.empty`, and in `validity.failed` with its error.
In: `Take`s. Out: a value a take. That a take is valid says nothing of its beauty: music that is drawn uniformly from
the legal events is hardly less valid than any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Better, Measured, Metric
from midi_llm.evaluate.take import Take
from midi_llm.music.features import max_polyphony, mean_polyphony, note_table
from midi_llm.music.health import faults, growth, is_crowded, is_repeating, is_silent
from midi_llm.music.score import Score


def _metric(name: str, unit: str, better: Better | None, about: str) -> Metric:
    return Metric(name=f"validity.{name}", unit=unit, better=better, about=about)


STRICT = _metric("strict", "share", "higher", "Takes whose ids decode without any repair.")
REPAIRS = _metric("repairs", "", "lower", "Repairs that the tolerant decoder made, a take.")
FAILED = _metric("failed", "share", "lower", "Takes that are no music because of an error.")
EMPTY = _metric("empty", "share", "lower", "Takes without a note, failed ones among them.")
ENDED = _metric("ended", "share", "higher", "Takes that end by themselves or at the length asked for.")
ENDED_OWN = _metric("ended_own", "share", None, "Takes that the model ended by itself.")
ENDED_ASKED = _metric("ended_asked", "share", None, "Takes that end at the length asked for.")
LENGTH_ERROR = _metric(
    "length_error", "share", "lower", "Difference from the length asked for beside the prompt, as a share of it."
)
STUCK = _metric("stuck", "share", "lower", "Takes that fall silent, repeat one chord or pile up notes.")
SILENT = _metric("stuck_silent", "share", "lower", "Takes with a silence of 5 s or more before their last note.")
REPEATING = _metric("stuck_repeating", "share", "lower", "Takes that strike one note or chord 24 times over 10 s.")
CROWDED = _metric("stuck_crowded", "share", "lower", "Takes in which 80 notes begin within half a second.")
MAX_POLYPHONY = _metric("max_polyphony", "", None, "Most notes that sound together, drums too.")
MEAN_POLYPHONY = _metric("mean_polyphony", "", None, "Notes that sound together while any does, drums too.")
DRIFT = _metric(
    "drift", "", None, "How much the density changes: |ln| of the notes in the last third over those in the first."
)
GROWTH = _metric("growth", "", None, "How the density changes: ln of the last third's notes over the first's.")
FAULTY = _metric("faulty_notes", "share", None, "Pitched notes that are too short or strike a note that sounds.")
SHORT = _metric("short_notes", "share", "lower", "Pitched notes shorter than 15 ms.")
OVERLAPPING = _metric(
    "overlapping_notes", "share", None, "Pitched notes that strike a pitch that still sounds in the same track."
)
"""It describes: where two violins share a track, as in scores made of events, unisons overlap in real music too."""
METRICS = (
    STRICT, REPAIRS, FAILED, EMPTY, ENDED, ENDED_OWN, ENDED_ASKED, LENGTH_ERROR, STUCK, SILENT, REPEATING, CROWDED,
    MAX_POLYPHONY, MEAN_POLYPHONY, DRIFT, GROWTH, FAULTY, SHORT, OVERLAPPING,
)  # fmt: skip
"""All of the family but those of the kinds of repairs."""


def validate(takes: Sequence[Take]) -> tuple[str, ...]:
    """Warnings about takes that failed and about what is not known of takes.

    Raises `RequestError` when there is no take, and for times that are not finite.
    """
    if not takes:
        raise RequestError("there are no takes to judge; at least one is needed")
    for take in takes:
        if not all(
            np.isfinite(track.notes["time"]).all() and np.isfinite(track.notes["duration"]).all()
            for track in take.score.tracks
        ):
            raise RequestError(
                f"take {take.number} of prompt {take.prompt.id} has a time that is no finite number; mend or drop it"
            )
    counts = (
        (sum(take.error is not None for take in takes), "failed (see their errors)"),
        (sum(not take.score.note_count for take in takes), "have no notes: only validity counts them"),
        (sum(take.strict is None for take in takes), "came without ids: strict decoding and repairs are not known"),
        (sum(take.ending is None for take in takes), "came without an ending: it is not known whether they were cut"),
    )
    return tuple(f"{count} of {len(takes)} takes {what}" for count, what in counts if count)


def evaluate(takes: Sequence[Take]) -> list[Measured]:
    """All metrics of the family, a value a take; besides `METRICS` one for each kind of repair seen in any take."""
    validate(takes)
    rows = [_as_delivered(take) | (_as_music(take.score) if take.score.note_count else {}) for take in takes]
    kinds = sorted({kind for take in takes for kind in take.repairs})
    for row, take in zip(rows, takes, strict=True):
        if REPAIRS in row:
            row.update({repair_metric(kind): take.repairs.get(kind, 0) for kind in kinds})
    return [
        Measured(metric=metric, values=np.array([row.get(metric, np.nan) for row in rows], np.float64))
        for metric in (*METRICS, *map(repair_metric, kinds))
    ]


def repair_metric(kind: str) -> Metric:
    """The metric of one kind of repair, as `tokens.salvage.DecodeReport` (or another decoder) calls it."""
    return _metric(f"repairs_{kind}", "", "lower", f"Repairs of the kind {kind.replace('_', ' ')!r}, a take.")


def _as_delivered(take: Take) -> dict[Metric, float]:
    """What does not need notes; a metric whose source is not known is absent."""
    row: dict[Metric, float] = {FAILED: take.error is not None, EMPTY: not take.score.note_count}
    if take.strict is not None:
        row[STRICT] = take.strict
    if take.strict is not None or take.repairs:
        row[REPAIRS] = sum(take.repairs.values())
    if take.ending is not None:
        row[ENDED_OWN], row[ENDED_ASKED] = take.ending == "own", take.ending == "asked"
        row[ENDED] = take.ending in ("own", "asked")
    if take.seconds_asked is not None:
        row[LENGTH_ERROR] = length_error(take.score.seconds, take.seconds_asked)
    return row


def _as_music(score: Score) -> dict[Metric, float]:
    """What needs notes."""
    notes = note_table(score)
    row: dict[Metric, float] = {
        SILENT: is_silent(notes),
        REPEATING: is_repeating(notes),
        CROWDED: is_crowded(notes),
        MAX_POLYPHONY: max_polyphony(score),
        MEAN_POLYPHONY: mean_polyphony(notes) or np.nan,
        GROWTH: growth(notes),
    }
    row[STUCK] = row[SILENT] or row[REPEATING] or row[CROWDED]
    row[DRIFT] = abs(row[GROWTH])
    short, overlapping = faults(score)
    if len(short):
        row[SHORT], row[OVERLAPPING] = float(short.mean()), float(overlapping.mean())
        row[FAULTY] = float((short | overlapping).mean())
    return row


def length_error(seconds: float, asked: float) -> float:
    """|seconds - asked| / asked, where `seconds` is the end of the last note; 1 for a take without notes."""
    return abs(seconds - asked) / asked
