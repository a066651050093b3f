"""Reports made by the tests: one as a run writes it, with files, and random ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from evaluate.tunes import tune
from midi_llm.evaluate.metric import Metric, Result
from midi_llm.evaluate.record import CopyLine, Report, SetReport, TakeLine
from midi_llm.music.write import to_midi_bytes

NAN = float("nan")
EVIL = "<script>alert('x')</script>|`[a](b)` *b* \\| _c_\n# d\x00\u202e"

STRICT = Metric(name="validity.strict", unit="share", better="higher", about="Takes that decode.")
REPAIRS = Metric(name="validity.repairs", unit="", better="lower", about="Repairs, a take.")
KEY = Metric(name="control.key", unit="share", better="higher", about="Takes in the key asked for.")
RECALL = Metric(name="control.instruments_recall", unit="share", better="higher", about="Share that sounds.")
DENSITY = Metric(name="texture.note_density", unit="notes/s", better=None, about="Notes a second.")
FAD = Metric(name="audio.fad", unit="", better="lower", about="Distance of sounds.")
TOKENS = Metric(name="speed.tokens_per_second", unit="tokens/s", better="higher", about="Tokens a second.")
TAKE_RTF = Metric(name="speed.take_rtf", unit="", better="higher", about="Music a second.")

TAKES = 12
SETS = ("nano", "real", "random")


def found(metric: Metric, value: float, **others: object) -> Result:
    """A result of all takes with an interval of a tenth on both sides."""
    content = {"low": value - 0.1, "high": value + 0.1, "count": TAKES} | others
    return Result(metric=metric, value=value, **content)  # type: ignore[arg-type]


def nothing(metric: Metric, *warnings: str) -> Result:
    """A result that rests on no take."""
    return Result(metric=metric, value=NAN, low=NAN, high=NAN, count=0, values=(NAN,) * TAKES, warnings=warnings)


def engine(contender: str, batch: int, value: float) -> Result:
    """A line of a race."""
    facts: Mapping[str, str | float] = {"contender": contender, "batch": batch, "cores": 2, "tokens": 2046 // batch}
    return Result(metric=TOKENS, value=value, low=value - 1, high=value + 1, count=3, values=(value,) * 3, facts=facts)


def heard(value: float, ear: str, loudness: float) -> Result:
    """A distance by one embedding."""
    facts: Mapping[str, str | float] = {"embedding": ear, "sound_font": "GS 2.0", "rate": 48000, "loudness": loudness}
    return found(FAD, value, facts=facts, warnings=("few takes for a covariance",))


def make_set(name: str, number: int, *, folder: Path | None = None) -> SetReport:
    """Take 3 failed; takes 0, 1, ... have ranks from 1 down."""
    rng = np.random.default_rng(number)
    estimator = {"estimator": "0.74 on real music", "estimator_value": 0.74, "estimator_count": 237}
    density = tuple(rng.normal(6, 2, TAKES).tolist())
    takes = tuple(
        TakeLine(
            prompt=f"p{place:02d}",
            text=f"a waltz, no. {place}",
            number=0,
            seed=100 + place,
            file=None if place == 3 else f"{name}/p{place:02d}-0.mid",
            error="out of memory" if place == 3 else None,
            rank=1 - place / TAKES,
        )
        for place in range(TAKES)
    )
    if folder is not None:
        (folder / name).mkdir()
        for place, take in enumerate(takes):
            if take.file is not None:
                (folder / take.file).write_bytes(to_midi_bytes(tune(place)))
    results = [
        found(STRICT, 0.83) if number == 0 else nothing(STRICT),
        found(REPAIRS, 0.25),
        found(KEY, 0.5 + number / 10, count=9, facts=estimator),
        found(RECALL, 0.91, facts={"estimator": "none: counted"}),
        found(DENSITY, 6.0, values=density),
        heard(0.5, "clap", -23.0 - number),
        heard(0.7, "vggish", -23.0 - number),
    ]
    race = [engine(who, batch, 100.0 + 10 * batch) for who in ("onnx", "torch") for batch in (1, 4)]
    return SetReport(
        name=name,
        description={"kind": "model", "bounds": {"notes": 6, "gap": 4}},
        takes=takes,
        results=tuple(results + race if number == 0 else results),
        warnings=(f"1 of {TAKES} takes failed: {name}",),
    )


def make_report(folder: Path | None = None) -> Report:
    """Three sets; with `folder`, their files are written there."""
    return Report(
        sets=tuple(make_set(name, number, folder=folder) for number, name in enumerate(SETS)),
        settings={"seed": 7, "prompts": {"count": TAKES, "sha256": "ab12"}},
        where={"machine": "a computer", "commit": "c0ffee"},
        command="midi-llm evaluate nano \\\n  --seed 7",
        date="2026-01-02",
    )


TEXTS = st.text(max_size=12) | st.sampled_from([EVIL, "", "a|b", "x" * 80, "  ", "1. a", "- b", "```", "ü音"])
NUMBERS = st.floats() | st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300, 0.5])
FACTS = st.dictionaries(
    st.sampled_from(["contender", "batch", "embedding", "estimator", "estimator_value", "estimator_count", "a b"]),
    TEXTS | NUMBERS | st.integers(),
    max_size=3,
)
METRICS = st.builds(
    Metric,
    name=st.sampled_from(["validity.strict", "control.key", "speed.rtf", "odd", "", "x.y_z"]) | TEXTS,
    unit=st.sampled_from(["share", "", "bits"]) | TEXTS,
    better=st.sampled_from([None, "higher", "lower"]),
    about=TEXTS,
)
RESULTS = st.builds(
    Result,
    metric=METRICS,
    value=NUMBERS,
    low=NUMBERS,
    high=NUMBERS,
    count=st.integers(0, 10**6),
    values=st.lists(NUMBERS, max_size=8).map(tuple),
    facts=FACTS,
    warnings=st.lists(TEXTS, max_size=2).map(tuple),
)
LINES = st.builds(
    TakeLine,
    prompt=TEXTS,
    text=TEXTS,
    number=st.integers(0, 9),
    seed=st.none() | st.integers(0, 2**32),
    file=st.none() | TEXTS | st.sampled_from(["/dev/zero", "../a.mid", "a\x00b"]),
    error=st.none() | TEXTS,
    rank=st.just(math.nan) | st.floats(0, 1),
)
COPIES = st.builds(
    CopyLine,
    prompt=TEXTS,
    number=st.integers(0, 9),
    notes=st.integers(0, 99),
    varied=st.integers(0, 99),
    seconds=st.floats(0, 99),
    instrument=st.integers(0, 127),
    piece=TEXTS,
    pieces=st.integers(0, 99),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
SET_REPORTS = st.builds(
    SetReport,
    name=TEXTS,
    description=st.dictionaries(TEXTS, JSON, max_size=2),
    takes=st.lists(LINES, max_size=5).map(tuple),
    results=st.lists(RESULTS, max_size=6).map(tuple),
    warnings=st.lists(TEXTS, max_size=2).map(tuple),
    copies=st.lists(COPIES, max_size=2).map(tuple),
)
REPORTS = st.builds(
    Report,
    sets=st.lists(SET_REPORTS, min_size=1, max_size=3).map(tuple),
    settings=st.dictionaries(TEXTS, JSON, max_size=2),
    where=st.dictionaries(TEXTS, JSON, max_size=2),
    command=TEXTS,
    date=TEXTS,
)
