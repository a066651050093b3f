"""The instruments that a text names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.compose.ensemble import BACKING, Ensemble, find_ensemble

DRUM_KIT, BASSES = BACKING


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("A calm piano piece", ((0, 1),)),
        ("an energetic day for a long road trip", ()),
        ("A jazz trio: piano, upright bass and drums", ((0, 1), (32,), DRUM_KIT)),
        ("electric piano and music box", ((4, 5), (10,))),
        ("A string quartet in a minor key", ((40,), (41,), (42,))),
        ("strings over steel drums", ((48, 49), (114,))),
        ("Solo violin, jazz", ((40,),)),
        ("a rock song with organ", ((16, 19), DRUM_KIT, BASSES)),
        ("A rock song with slap bass", ((36,), DRUM_KIT)),
        ("Pianissimo, a bassoonist's dream", ()),
    ],
)
def test_a_text_names_its_instruments(text: str, named: tuple[tuple[int, ...], ...]) -> None:
    assert find_ensemble(text).named == named


def test_instruments_ruled_out_are_not_used() -> None:
    ensemble = find_ensemble("a rock song with guitar, no drums")
    assert ensemble.ruled_out == {128}
    picked = ensemble.pick(1)
    assert picked is not None
    assert 128 not in picked
    without = find_ensemble("a dance track without drums").pick(0)
    assert without == frozenset(range(128))


def test_a_text_without_instruments_binds_nothing() -> None:
    assert find_ensemble("something sad").pick(3) is None


def test_takes_differ_in_colour_and_a_seed_always_picks_alike() -> None:
    ensemble = Ensemble(named=((27, 29, 30), (128,)))
    picks = [ensemble.pick(seed) for seed in range(40)]
    assert picks == [ensemble.pick(seed) for seed in range(40)]
    assert {min(p) for p in picks if p} == {27, 29, 30}
    assert all(p is not None and 128 in p and len(p) == 2 for p in picks)


@given(text=st.text(max_size=60), seed=st.integers(0, 2**32 - 1))
def test_any_text_gives_instruments_that_exist(text: str, seed: int) -> None:
    picked = find_ensemble(text).pick(seed)
    assert picked is None or (picked and picked <= set(range(129)))
