from collections import Counter

import pytest

from midi_llm.data.sources.base import Metadata
from midi_llm.data.splits import assign_split

LAKH = "d41d8cd98f00b204e9800998ecf8427e"


def split(raw_id: str, *, source: str = "a", **metadata) -> str:
    return assign_split(Metadata(**metadata), source=source, raw_id=raw_id)


def test_the_sources_own_split_wins_over_every_other_rule():
    for own in ("train", "valid", "test"):
        assert split(LAKH, split=own, group="g") == own


@pytest.mark.parametrize("pattern", ["{}", "lmd_full/x/{}.mid", "{}.MID", "folder/{}"])
@pytest.mark.parametrize(
    ("digit", "expected"), [("0", "train"), ("d", "train"), ("e", "valid"), ("f", "test"), ("F", "test")]
)
def test_lakh_files_follow_the_first_digit_of_their_md5(pattern, digit, expected):
    assert split(pattern.format(digit + LAKH[1:])) == expected


@pytest.mark.parametrize("raw_id", ["f" * 31, "f" * 33, "g" + "f" * 31, f"{'f' * 32}-take-2", f"f{'f' * 32}.mid"])
def test_what_is_no_md5_is_hashed_like_any_other_id(raw_id):
    assert {split(f"{raw_id}{number}") for number in range(500)} == {"train", "valid", "test"}


def test_shares_are_two_percent_each():
    counts = Counter(split(f"piece {number}") for number in range(20_000))
    assert counts["valid"] == pytest.approx(400, abs=80)
    assert counts["test"] == pytest.approx(400, abs=80)


def test_a_group_is_never_cut():
    for group in range(300):
        assert len({split(f"{group}-{number}", group=f"g{group}") for number in range(5)}) == 1
        assert len({split(f"{digit}{LAKH[1:]}", group=f"g{group}") for digit in "0def"}) == 1
    assert {split("one", group=f"g{group}") for group in range(300)} == {"train", "valid", "test"}


def test_places_are_the_same_on_every_machine():
    found = [number for number in range(200) if split(str(number)) != "train"]
    assert found == [1, 12, 14, 25, 62, 63, 93, 122, 141]
    assert split("\udc80 broken name") in ("train", "valid", "test")


def test_equal_names_of_two_sources_are_independent_and_shares_can_be_chosen():
    assert any(split(str(n)) != split(str(n), source="b") for n in range(200))
    everything = {assign_split(Metadata(), source="a", raw_id=str(n), test_share=1.0) for n in range(20)}
    assert everything == {"test"}
