import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.data.dedup import DUPLICATE, EXCLUDED, THRESHOLD, deduplicate
from midi_llm.data.fingerprint import HASHES
from midi_llm.data.manifest import PieceRow
from midi_llm.data.sources.base import Metadata

SPLITS = ("train", "valid", "test")


def print_of(work: int, *, changed: int = 0, seed: int = 0) -> str:
    """A fingerprint of its own for each `work`; `changed` of the hashes differ from it."""
    values = np.random.default_rng((1, work)).integers(0, 2**16, HASHES)
    rng = np.random.default_rng((2, work, seed))
    values[rng.permutation(HASHES)[:changed]] = rng.integers(0, 2**16, changed)
    return values.astype(">u2").tobytes().hex()


def row(name: str, work: int | None = None, *, split: str = "train", changed: int = 0, **fields) -> PieceRow:
    known = {"source": "a", "pack": "a-0", "sha256": f"sha of {name}", "metadata": Metadata()} | fields
    seed = sum(name.encode())
    return PieceRow(
        id=f"{known['source']}/{name}", split=split, **known,
        fingerprint="" if work is None else print_of(work, changed=changed, seed=seed),
    )  # fmt: skip


def kept(rows) -> list[str]:
    return [one.id for one in rows if one.dropped is None]


def test_equal_files_are_one_piece_across_sources_and_without_fingerprints():
    rows = [row("one", sha256="same"), row("other", sha256="same", source="b"), row("third")]
    assert kept(deduplicate(rows)) == ["a/one", "a/third"]
    assert deduplicate(rows)[1] == replace(rows[1], dropped=DUPLICATE, duplicate_of="a/one")


def test_similar_pieces_are_one_and_different_ones_are_not():
    rows = [row("one", 1), row("near", 1, changed=60), row("far", 1, changed=100), row("other", 2)]
    assert kept(deduplicate(rows)) == ["a/one", "a/far", "a/other"]
    assert kept(deduplicate(rows, threshold=0.9)) == ["a/one", "a/near", "a/far", "a/other"]
    assert THRESHOLD == 0.35, "the pieces above lie on either side of it"


def test_likeness_reaches_over_several_steps():
    values = np.arange(HASHES)
    chain = [np.where(np.arange(HASHES) < 30 * step, values + 1000, values) for step in range(5)]
    rows = [replace(row(str(i)), fingerprint=v.astype(">u2").tobytes().hex()) for i, v in enumerate(chain)]
    assert kept(deduplicate([rows[0], rows[4]])) == ["a/0", "a/4"]
    assert kept(deduplicate(rows)) == ["a/0"]


def test_test_goes_before_valid_before_captions_before_licence_before_order():
    captions, licence = Metadata(captions=("a waltz",)), Metadata(licence="CC0-1.0")
    ranked = [
        row("test", 1, split="test"), row("valid", 1, split="valid"), row("told", 1, metadata=captions),
        row("licensed", 1, metadata=licence), row("first", 1), row("last", 1),
    ]  # fmt: skip
    for best in range(len(ranked)):
        shuffled = ranked[best:-1][::-1] + ranked[-1:] if best < 5 else ranked[-1:]
        assert kept(deduplicate(shuffled)) == [ranked[best].id]


def test_rows_dropped_before_stay_as_they_are_and_guard_nothing():
    short = row("short", 1, split="test", dropped="too short")
    assert deduplicate([short, row("long", 1)]) == [short, row("long", 1)]


@pytest.mark.parametrize("name", ["a/secret", "secret", "the md5", "sha of secret"])
def test_what_is_excluded_is_not_trained_on_nor_is_anything_like_it(name):
    rows = [row("copy", 1, changed=30), row("secret", 1, md5="the md5"), row("other", 2)]
    found = deduplicate(rows, exclude=[name])
    assert kept(found) == ["a/other"]
    assert [(one.dropped, one.duplicate_of) for one in found[:2]] == [(EXCLUDED, "a/secret"), (EXCLUDED, "")]


def test_an_excluded_evaluation_piece_stays_where_it_is():
    rows = [row("copy", 1), row("secret", 1, split="valid"), row("best", 1, split="test")]
    found = deduplicate(rows, exclude=["secret"])
    assert kept(found) == ["a/best"]
    assert [one.dropped for one in found] == [EXCLUDED, DUPLICATE, None]


pieces = st.tuples(
    st.integers(0, 5), st.integers(0, 40), st.sampled_from(SPLITS), st.booleans(), st.sampled_from(["a", "b"])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(pieces, max_size=25), st.sets(st.integers(0, 24), max_size=3))
def test_one_of_each_cluster_is_kept_and_nothing_like_evaluation_is_trained_on(layout, secret):
    rows = [
        row(str(i), work, split=split, changed=changed, source=source, dropped="too short" if dropped else None)
        for i, (work, changed, split, dropped, source) in enumerate(layout)
    ]
    exclude = {str(number) for number in secret}
    found = deduplicate(rows, exclude=exclude)
    assert [replace(one, dropped=None, duplicate_of="") for one in found] == [
        replace(one, dropped=None) for one in rows
    ]
    assert deduplicate(found, exclude=exclude) == found
    by_id = {one.id: one for one in found}
    for work in range(6):
        members = [one for one, place in zip(found, layout, strict=True) if place[0] == work and not place[3]]
        stays = [one for one in members if one.dropped is None]
        hidden = any(one.id.split("/")[1] in exclude for one in members)
        strictest = max((SPLITS.index(one.split) for one in members), default=0)
        assert len(stays) == (0 if hidden and strictest == 0 else bool(members))
        assert all(one.split == SPLITS[strictest] for one in stays)
        for one in members:
            assert not one.duplicate_of or by_id[one.duplicate_of] in members


def test_many_pieces_with_one_common_band_are_not_compared_pair_by_pair():
    values = np.random.default_rng(0).integers(0, 2**16, (20_000, HASHES))
    values[:, :3] = 7
    rows = [replace(row(str(i)), fingerprint=v.astype(">u2").tobytes().hex()) for i, v in enumerate(values)]
    start = time.process_time()
    assert len(kept(deduplicate(rows))) == len(rows)
    assert time.process_time() - start < 10


def test_no_rows_give_no_rows():
    assert deduplicate([]) == []
