"""Row sets by name: what the bundled model and the paper's model are trained on.

In: a name, and changes such as ("stage2.rows", "400"). Out: `RowSetSpec`s. The small model's sizes are what one GPU
learns from in some minutes, about 250 M ids; the large one's follow the paper (arXiv 2511.03942): 2,048 ids a row,
about 1.4 G music ids in stage 1 beside the text, 5.1 G ids in stage 2 with AMT's ten copies a piece.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from midi_llm.data.augment import AMT_KINDS, PLAIN_HEAVY_KINDS, AugmentSettings
from midi_llm.data.examples import ExampleSpec
from midi_llm.data.rowsets import RowSetSpec
from midi_llm.errors import DatasetError
from midi_llm.prompt import PUBLISHED, PromptFormat

NANO_PROMPT = PromptFormat(prefix="", suffix=" ", bos=True, restates=True)
"""The small model needs no instruction: the text alone, and a blank. Facts said as its captions do it follows best."""

UNPROMPTED = 0.1
"""Share of stage 2 rows without a prompt, for classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598)."""


def _nano() -> tuple[RowSetSpec, ...]:
    """Short rows first, so that many prompts are seen; the last part at full length, as pieces are composed."""
    augment = AugmentSettings(straighten_seconds=0.025)
    stage1, short, full = (
        ExampleSpec(length=length, captioned=captioned, prompt_ids=96, kinds=PLAIN_HEAVY_KINDS, augment=augment)
        for length, captioned in ((512, 0.7), (1024, 1 - UNPROMPTED), (2048, 1 - UNPROMPTED))
    )
    return (
        RowSetSpec(
            name="stage1", stage=1, rows=128_000, valid_rows=256, example=stage1, prompt=NANO_PROMPT, seed=11,
            text_share=1.0,
        ),
        RowSetSpec(name="short", stage=2, rows=128_000, valid_rows=512, example=short, prompt=NANO_PROMPT, seed=12),
        RowSetSpec(name="full", stage=2, rows=48_000, valid_rows=256, example=full, prompt=NANO_PROMPT, seed=13),
    )  # fmt: skip


def _midi_llm_1b() -> tuple[RowSetSpec, ...]:
    """The paper's two stages; stage 1 music has no prompt, stage 2 has AMT's infilling kinds."""
    stage1 = ExampleSpec(length=2048, captioned=0.0, kinds=AMT_KINDS)
    stage2 = ExampleSpec(length=2048, captioned=1 - UNPROMPTED, kinds=AMT_KINDS)
    return (
        RowSetSpec(
            name="stage1", stage=1, rows=700_000, valid_rows=2_000, example=stage1, prompt=PUBLISHED, seed=11,
            text_share=1.0,
        ),
        RowSetSpec(name="stage2", stage=2, rows=2_500_000, valid_rows=2_000, example=stage2, prompt=PUBLISHED, seed=12),
    )  # fmt: skip


PRESETS: Mapping[str, Callable[[], tuple[RowSetSpec, ...]]] = {"nano": _nano, "midi-llm-1b": _midi_llm_1b}


def row_sets(preset: str, changes: Sequence[str] = ()) -> tuple[RowSetSpec, ...]:
    """The row sets of a preset after changes of the form "stage2.rows=400".

    Fields are those of `RowSetSpec` and, below them, of `ExampleSpec` that hold a number: rows, valid_rows, seed,
    text_share, length, captioned. `rows=0` leaves a row set out. Raises `DatasetError` for an unknown name.
    """
    if preset not in PRESETS:
        raise DatasetError(f"preset is {preset!r}; presets are {', '.join(PRESETS)}")
    specs = {spec.name: spec for spec in PRESETS[preset]()}
    for change in changes:
        target, equals, value = change.partition("=")
        name, _, field = target.partition(".")
        if not equals or name not in specs or field not in _FIELDS:
            raise DatasetError(
                f"{change!r} changes nothing; a change is like {next(iter(specs))}.rows=400, row sets are"
                f" {', '.join(specs)}, fields {', '.join(_FIELDS)}"
            )
        if (field, value) == ("rows", "0"):
            del specs[name]
        else:
            specs[name] = _changed(specs[name], field, value, change)
    return tuple(specs.values())


def _changed(spec: RowSetSpec, field: str, text: str, change: str) -> RowSetSpec:
    """`spec` with one field replaced."""
    try:
        value: Any = _FIELDS[field](text)
    except ValueError as error:
        kind = "a whole number" if _FIELDS[field] is int else "a number"
        raise DatasetError(f"{change!r}: {text!r} is not {kind}") from error
    if not math.isfinite(value):
        raise DatasetError(f"{change!r}: {text!r} is not a finite number")
    if field in ("length", "captioned"):
        return dataclasses.replace(spec, example=dataclasses.replace(spec.example, **{field: value}))
    return dataclasses.replace(spec, **{field: value})


_FIELDS: Mapping[str, type[int] | type[float]] = {
    "rows": int, "valid_rows": int, "seed": int, "text_share": float, "length": int, "captioned": float,
}  # fmt: skip
