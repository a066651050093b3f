"""Note values: every bar is filled exactly with what notation has, and beats stay visible."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.notation.bars import Bar
from midi_llm.notation.values import FLAGS, Symbol, beams, write_bar
from midi_llm.notation.voices import Chord

TICKS = {"breve": 192, "whole": 96, "half": 48, "quarter": 24, "eighth": 12, "16th": 6, "32nd": 3}
COMMON = Bar(start=0, length=96, numerator=4, denominator=4, beat=24)
SIX_EIGHT = Bar(start=0, length=72, numerator=6, denominator=8, beat=36)
WALTZ = Bar(start=72, length=72, numerator=3, denominator=4, beat=24)


def written(symbol: Symbol) -> float:
    """Ticks of what is on paper."""
    ticks = TICKS[symbol.kind] * (1.5 if symbol.dots else 1)
    return ticks * 2 / 3 if symbol.triplet else ticks


def chords(*spans: tuple[int, int]) -> list[Chord]:
    return [Chord(start=start, end=end, pitches=(60,)) for start, end in spans]


def kinds(*spans: tuple[int, int], bar: Bar = COMMON) -> list[str]:
    """The symbols, short: quarter "quarter", dotted ".", rest "r", triplet "3", tied on "~"."""
    return [
        symbol.kind + "." * symbol.dots + "r" * (not symbol.pitches) + "3" * symbol.triplet + "~" * symbol.tied_after
        for symbol in write_bar(chords(*spans), bar)
    ]


@st.composite
def bars(draw: st.DrawFn) -> tuple[Bar, list[Chord]]:
    """A bar, and chords whose edges in each beat lie on sixteenths, triplets, 32nds or sextuplets."""
    bar = draw(
        st.sampled_from([COMMON, SIX_EIGHT, WALTZ, Bar(start=0, length=60, numerator=5, denominator=8, beat=12)])
    )
    edges = set()
    for beat in range(0, bar.length, bar.beat):
        step = draw(st.sampled_from([6, 3] if bar.beat != 24 else [6, 8, 3, 4]))
        edges |= {beat + at * step for at in draw(st.sets(st.integers(0, bar.beat // step - 1)))}
    places = sorted(edges | draw(st.sampled_from([set(), {bar.length}, {bar.length + 24}])))
    pairs = [pair for pair in pairwise(places) if draw(st.booleans())]
    if pairs and pairs[0][0] == 0 and draw(st.booleans()):
        pairs[0] = (-12, pairs[0][1])
    return bar, [Chord(start=bar.start + a, end=bar.start + b, pitches=(60, 64)) for a, b in pairs]


@settings(deadline=None, max_examples=300)
@given(bars())
def test_a_bar_is_filled_exactly_with_values_that_exist(case: tuple[Bar, list[Chord]]) -> None:
    bar, sounding = case
    symbols = write_bar(sounding, bar)
    now = 0
    for symbol in symbols:
        assert symbol.start == now
        assert symbol.whole_bar or written(symbol) == symbol.length
        now += symbol.length
    assert now == bar.length
    heard = [
        (symbol.start + bar.start, symbol.tied_before)
        for symbol in symbols
        if symbol.pitches and not symbol.tied_before
    ]
    assert [start for start, _ in heard] == [chord.start for chord in sounding if chord.start >= bar.start]
    sound = sum(symbol.length for symbol in symbols if symbol.pitches)
    assert sound == sum(min(chord.end, bar.start + bar.length) - max(chord.start, bar.start) for chord in sounding)
    for before, after in pairwise(symbols):
        assert before.tied_after == after.tied_before
    names = beams(symbols, bar.beat)
    for symbol, found in zip(symbols, names, strict=True):
        assert len(found) in {0, FLAGS.get(symbol.kind, 0)}
        assert symbol.pitches or not found
    first = [found[0] for found in names if found]
    assert first.count("begin") == first.count("end")


def test_an_empty_bar_is_one_rest() -> None:
    (symbol,) = write_bar([], WALTZ)
    assert (symbol.whole_bar, symbol.length, symbol.pitches) == (True, 72, ())


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        (((0, 96),), ["whole"]),
        (((0, 36), (36, 48), (48, 96)), ["quarter.", "eighth", "half"]),
        (((12, 36), (36, 96)), ["eighthr", "quarter", "eighth~", "half"]),
        (((0, 12), (12, 36), (36, 48), (48, 96)), ["eighth", "quarter", "eighth", "half"]),
        (((24, 72), (72, 96)), ["quarterr", "quarter~", "quarter", "quarter"]),
        (((0, 8), (8, 16), (16, 24), (24, 96)), ["eighth3", "eighth3", "eighth3", "half."]),
        (((0, 16), (16, 48)), ["quarter3", "eighth3~", "quarter", "halfr"]),
        (((84, 120),), ["halfr", "quarterr", "eighthr", "eighth~"]),
    ],
)
def test_values_in_four_quarters(spans: tuple[tuple[int, int], ...], expected: list[str]) -> None:
    assert kinds(*spans) == expected


def test_values_in_six_eighths() -> None:
    assert kinds((0, 36), (36, 60), (60, 72), bar=SIX_EIGHT) == ["quarter.", "quarter", "eighth"]
    assert kinds((0, 72), bar=SIX_EIGHT) == ["half."]


def test_beams_join_what_lies_in_a_beat_and_hooks_point_inwards() -> None:
    symbols = write_bar(chords((0, 18), (18, 24), (24, 36), (36, 42), (42, 48), (48, 60)), COMMON)
    assert beams(symbols, 24)[:6] == [
        ("begin",), ("end", "backward hook"), ("begin",), ("continue", "begin"), ("end", "end"), (),
    ]  # fmt: skip
