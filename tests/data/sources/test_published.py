from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources import layouts
from data.sources.layouts import everything, lakh_members, md5_of, midi, pieces, reasons, write_lines, write_tar
from midi_llm.data.sources import collection, musicpile
from midi_llm.data.sources.aria import AriaSource
from midi_llm.data.sources.base import RawText
from midi_llm.data.sources.gigamidi import GigaMidiSource
from midi_llm.data.sources.lakh import LakhSource, MidiCapsSource, stricter_split
from midi_llm.data.sources.musicpile import MusicPileSource
from midi_llm.data.splits import lakh_split
from midi_llm.errors import DatasetError


def test_lakh_splits_by_the_first_digit() -> None:
    splits = [lakh_split(digit + "0" * 31) for digit in "0123456789abcdef"]
    assert splits == ["train"] * 14 + ["valid", "test"]
    assert stricter_split("valid", None, "test") == "test"
    assert stricter_split("train", "valid") == "valid"


def test_lakh_reads_the_same_from_the_archive_and_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_tar(tmp_path / "lmd_full.tar.gz", lakh_members("0123456789abcdef"))
    whole = pieces(everything(LakhSource(archive)))
    assert len(whole) == 16
    assert whole[md5_of(14, "e")].metadata.split == "valid"
    assert whole[md5_of(14, "e")].data == midi(14)
    assert whole[md5_of(3, "3")].metadata.captions == ()
    monkeypatch.setattr(collection, "STRIPE_BYTES", archive.stat().st_size // 3)
    striped = LakhSource(tmp_path)
    assert len(striped.parts()) == 4
    assert pieces(everything(striped)) == whole
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    for path in (tmp_path / "unpacked", tmp_path / "unpacked" / "lmd_full"):
        unpacked = pieces(everything(LakhSource(path)))
        assert {md5: piece.metadata for md5, piece in unpacked.items()} == {
            md5: piece.metadata for md5, piece in whole.items()
        }


def test_damage_to_the_archive_is_told_once_a_stripe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_tar(tmp_path / "lmd_full.tar.gz", [*lakh_members("0123456789abcdef"), ("lmd_full/0/x.mid", b"")])
    monkeypatch.setattr(collection, "STRIPE_BYTES", archive.stat().st_size)
    assert reasons(everything(LakhSource(archive))) == {"lmd_full/0/x.mid": "name is no md5"}
    archive.write_bytes(archive.read_bytes()[:-40])
    items = everything(LakhSource(archive))
    assert pieces(items)
    assert set(reasons(items).values()) == {"archive is damaged"}


def test_midicaps_gives_captions_and_nothing_else_that_a_model_guessed(tmp_path: Path) -> None:
    items = everything(MidiCapsSource(layouts.write_midicaps(tmp_path)))
    found = pieces(items)
    calm = found[md5_of(0, "0")].metadata
    assert (calm.captions, calm.split, calm.licence) == (("A calm waltz.",), "train", "CC-BY-SA-4.0")
    assert (calm.genres, calm.moods, calm.key) == ((), (), None)
    assert found[md5_of(1, "e")].metadata.captions == ("Rock in 4/4.",)
    splits = {md5[0]: piece.metadata.split for md5, piece in found.items()}
    assert splits == {"0": "train", "e": "valid", "1": "test", "f": "test"}
    assert reasons(items) == {md5_of(4, "2"): "no caption"}


def test_midicaps_may_be_one_json_list(tmp_path: Path) -> None:
    folder = layouts.write_midicaps(tmp_path)
    lines = (folder / "train.json").read_text().split("\n")
    before = everything(MidiCapsSource(folder))
    (folder / "train.json").write_text("[" + ",\n".join(filter(None, lines)) + "]")
    assert everything(MidiCapsSource(folder)) == before
    (folder / "train.json").write_text('{"text": "something else"}\n')
    with pytest.raises(DatasetError, match="row 1 has no location"):
        MidiCapsSource(folder)


@pytest.mark.parametrize("unpacked", [False, True])
def test_aria_segments_share_their_recording(tmp_path: Path, unpacked: bool) -> None:
    path = layouts.write_aria(tmp_path / "aria-midi-v1-pruned-ext.tar.gz")
    if unpacked:
        with tarfile.open(path) as file:
            file.extractall(tmp_path, filter="data")
        path = tmp_path / "aria-midi-v1-pruned-ext"
    items = everything(AriaSource(path))
    found = {name: piece.metadata for name, piece in pieces(items).items()}
    assert list(found) == ["000002_0", "000002_1", "000007_0"]
    assert found["000002_0"] == found["000002_1"]
    waltz = found["000002_0"]
    assert (waltz.composer, waltz.genres, waltz.period) == ("Strauss", ("classical", "waltz"), "romantic")
    assert (waltz.group, waltz.split, waltz.tempo_is_known) == ("2", None, False)
    assert (found["000007_0"].composer, found["000007_0"].group) == ("", "7")
    assert list(reasons(items).values()) == ["name is no recording_segment"]


def test_aria_without_metadata_is_an_error(tmp_path: Path) -> None:
    write_tar(tmp_path / "aria-midi-v1-unique-ext.tar.gz", [("d/000002_0.mid", midi(0))])
    source = AriaSource(tmp_path)
    with pytest.raises(DatasetError, match=r"has no metadata\.json"):
        list(source.read(source.parts()[0]))
    write_tar(tmp_path / "aria-midi-v1-ext.tar.gz", [])
    with pytest.raises(DatasetError, match="name the one to read"):
        AriaSource(tmp_path)


def test_gigamidi_reads_the_columns_that_exist(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    layouts.write_parquet(
        tmp_path / "v2.0.0/train/train-00000-of-00001.parquet",
        {
            "md5": [md5_of(0, "0"), md5_of(1, "e"), md5_of(2, "f"), None, "0" * 32],
            "music": [midi(0), midi(1), midi(2), None, bytes(17 * 2**20)],
            "title": ["A song", None, "", "", ""],
            "music_styles_curated": [["Rock", "pop"], None, [], [], []],
            "NOMML": [[12], [0], [0], [0], [0]],
        },
    )
    layouts.write_parquet(tmp_path / "v2.0.0/validation.parquet", {"music": [midi(7)], "styles": ["x"]})
    source = GigaMidiSource(tmp_path)
    items = everything(source)
    found = {piece.metadata.group: piece for piece in pieces(items).values()}
    assert len(source.parts()) == 4
    assert [piece.metadata.split for piece in found.values()] == ["train", "valid", "test", "valid"]
    first = found[md5_of(0, "0")]
    assert (first.data, first.metadata.title, first.metadata.genres) == (midi(0), "A song", ("rock", "pop"))
    shard = "v2.0.0/train/train-00000-of-00001.parquet"
    assert reasons(items) == {f"{shard}:3": "no MIDI bytes", f"{shard}:4": "too large"}


def test_a_broken_parquet_file_is_an_error_and_a_broken_row_group_an_item(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    noise = [bytes((i * j) % 251 for j in range(500)) for i in (3, 5, 7, 11)]
    path = layouts.write_parquet(tmp_path / "train.parquet", {"music": noise})
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + b"\xff" * 60 + whole[68:])
    items = everything(GigaMidiSource(tmp_path))
    assert reasons(items) == {"gigamidi-00000": "damaged row group"}
    assert len(pieces(items)) == 2
    path.write_bytes(whole[:-30])
    with pytest.raises(DatasetError, match="cannot be read as parquet"):
        GigaMidiSource(tmp_path).parts()
    layouts.write_parquet(path, {"midi": noise})
    with pytest.raises(DatasetError, match="has no column music"):
        GigaMidiSource(tmp_path).parts()


def test_musicpile_gives_texts_with_their_collections(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    columns = {"id": [0, 1, 0], "text": ["A fugue is", "2 + 2", " "], "src": ["wiki", "math", "wiki"]}
    layouts.write_parquet(tmp_path / "data/train-00000-of-00001.parquet", columns)
    items = everything(MusicPileSource(tmp_path))
    assert [(item.text, item.collection) for item in items if isinstance(item, RawText)] == [
        ("A fugue is", "wiki"),
        ("2 + 2", "math"),
    ]
    assert list(reasons(items).values()) == ["no text"]
    some = everything(MusicPileSource(tmp_path, collections={"math"}))
    assert [item.text for item in some if isinstance(item, RawText)] == ["2 + 2"]


@given(texts=st.lists(st.text(max_size=30), max_size=12), size=st.integers(1, 90))
def test_json_lines_are_read_once_wherever_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("pile")
    write_lines(folder / "a.jsonl", [{"id": i, "text": text, "src": "s"} for i, text in enumerate(texts)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(musicpile, "LINES_BYTES", size)
        items = everything(MusicPileSource(folder))
    assert [item.text for item in items if isinstance(item, RawText)] == [text for text in texts if text.strip()]
    assert len(items) == len(texts)


def test_a_line_that_is_no_object_is_skipped(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", ['{"text": "x"}', "[1]", "{broken"])
    items = everything(MusicPileSource(tmp_path))
    assert reasons(items) == {"a.jsonl:14": "no text", "a.jsonl:18": "no text"}
