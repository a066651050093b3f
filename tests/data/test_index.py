from __future__ import annotations

import hashlib
import warnings
import zipfile
from pathlib import Path

import pytest

from data.corpora import columns, make_score, tiny_spec, tree, write_archive, write_midis
from midi_llm.data.build import build
from midi_llm.data.filters import LENIENT
from midi_llm.data.index import IndexTask, describe, index_part, index_path, source_of
from midi_llm.data.inspect import check_dataset
from midi_llm.data.manifest import PieceRow, read_manifest
from midi_llm.data.sources.base import Metadata, Part, RawPiece, Skipped
from midi_llm.data.sources.open import open_source
from midi_llm.music.write import to_midi_bytes

GOOD = to_midi_bytes(make_score(1))
PART = Part(source="x", index=0, where={})


def indexed(source: str, out: Path) -> list[PieceRow]:
    """The rows of all parts of a source."""
    source_of.cache_clear()
    rows = []
    for part in open_source(source).parts():
        task = IndexTask(source=source, part=part, folder=out, filters=LENIENT)
        index_part(task)
        rows += read_manifest(index_path(task))
    return rows


def described(item: RawPiece | Skipped) -> PieceRow:
    return describe(item, IndexTask(source="x", part=PART, folder=Path("x"), filters=LENIENT))


def test_a_piece_is_described_once_with_what_it_holds() -> None:
    row = described(RawPiece(id="a", source="x", path="a.mid", data=GOOD, metadata=Metadata(title="A", split="valid")))
    assert (row.id, row.source, row.pack, row.split, row.dropped) == ("x/a", "x", "x-00000", "valid", None)
    assert (row.sha256, row.md5) == (hashlib.sha256(GOOD).hexdigest(), hashlib.md5(GOOD).hexdigest())
    assert (row.notes, row.instruments, row.bpm, row.metre) == (288, {0: 192, 128: 96}, 123.0, (4, 4))
    assert row.seconds == pytest.approx(24 * 4 * 60 / 123, abs=0.5)
    assert row.key
    assert row.fingerprint


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unreadable"),
        (b"just a text\n", "unreadable"),
        (GOOD[:20], "unreadable"),
        (b"MThd\xff\xff\xff\xff" + GOOD[8:], "unreadable"),
        (to_midi_bytes(make_score(1, bars=1)), "too few notes"),
    ],
)
def test_what_is_no_music_keeps_a_row_and_the_reason(data: bytes, reason: str) -> None:
    assert described(RawPiece(id="a", source="x", path="a.mid", data=data)).dropped == reason


def test_what_a_source_skipped_keeps_its_reason() -> None:
    row = described(Skipped(id="a", source="x", reason="too large"))
    assert (row.id, row.dropped, row.sha256, row.notes) == ("x/a", "too large", "", 0)


@pytest.mark.parametrize("name", ["../../evil", "a\x1b[2J", "a\\..\\b", "a/../../b"])
def test_an_id_that_leads_out_of_a_zip_is_not_used(name: str) -> None:
    assert described(RawPiece(id=name, source="x", path="a.mid", data=GOOD)).dropped == "unsafe path"


def test_unsafe_and_overblown_members_of_an_archive_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    bomb = b"MThd" + bytes(20 * 2**20)
    pieces = [
        (columns("good"), GOOD),
        (columns("outside", path="../../outside.mid"), GOOD),
        (columns("absolute", path="/absolute.mid"), GOOD),
        (columns("bomb"), bomb),
        (columns("tight"), b"MThd" + bytes(2**20)),
        (columns("../id"), to_midi_bytes(make_score(2))),
        (columns("cut off"), GOOD[: len(GOOD) // 2]),
    ]
    rows = indexed(f"corpus:{write_archive(tmp_path / 'corpus', pieces)}", tmp_path / "ds")
    assert {row.id.removeprefix("mutopia/"): row.dropped for row in rows} == {
        "good": None, "outside": "unsafe path", "absolute": "unsafe path", "bomb": "too large",
        "tight": "packed too tightly", "../id": "unsafe path", "cut off": "unreadable",
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "ds" / "pieces" / "corpus-00000.zip") as archive:
        assert archive.namelist() == ["mutopia/good.mid"]


def test_of_pieces_with_one_id_the_first_is_used_and_the_others_are_counted(tmp_path: Path) -> None:
    pieces = [
        (columns("a", path=f"mutopia/{number}.mid"), to_midi_bytes(make_score(number))) for number in range(3)
    ] + [(columns(f"b{number}"), to_midi_bytes(make_score(10 + number))) for number in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = build(tiny_spec(f"corpus:{write_archive(tmp_path / 'corpus', pieces)}"), tmp_path / "ds")
    dropped = {row.id: row.dropped for row in dataset.rows if row.dropped}
    assert dropped == {"mutopia/a#2": "duplicate id", "mutopia/a#3": "duplicate id"}
    assert dataset.midi(dataset.rows[0]) == pieces[0][1]
    assert len(list(check_dataset(dataset))) == 4


def test_a_part_is_done_when_its_manifest_is_there_and_made_again_when_it_is_not(tmp_path: Path) -> None:
    source = f"folder:{write_midis(tmp_path / 'midis')}"
    rows = indexed(source, tmp_path / "ds")
    whole = tree(tmp_path / "ds")
    (tmp_path / "midis" / "song 100.mid").write_bytes(b"changed")
    assert indexed(source, tmp_path / "ds") == rows
    write_midis(tmp_path / "midis")
    (tmp_path / "ds" / "index" / "midis-00000.jsonl.gz").unlink()
    (tmp_path / "ds" / "pieces" / "midis-00000.zip").write_bytes(b"damaged")
    indexed(source, tmp_path / "ds")
    assert tree(tmp_path / "ds") == whole
