from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.corpora import tiny_spec, write_corpus, write_midis
from midi_llm.data.build import build
from midi_llm.data.dataset import Dataset, read_texts
from midi_llm.data.inspect import check_dataset, open_row_set, show_row
from midi_llm.data.manifest import read_manifest, write_manifest
from midi_llm.data.shards import read_shards
from midi_llm.data.sources.base import Metadata
from midi_llm.errors import DatasetError
from midi_llm.prompt import load_tokenizer
from midi_llm.tokens.dump import parse_dump


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two sources; only read."""
    folder = tmp_path_factory.mktemp("built")
    sources = f"corpus:{write_corpus(folder / 'corpus')}", f"folder:{write_midis(folder / 'midis')}"
    build(tiny_spec(*sources), folder / "ds")
    return folder / "ds"


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Dataset:
    """A copy to damage."""
    return Dataset(Path(shutil.copytree(built, tmp_path / "ds")))


def test_every_row_shown_parses_back_into_its_ids(built: Path) -> None:
    for name in ("short/train", "short/valid"):
        shards = read_shards(built / "rows" / name)
        for row in range(len(shards)):
            shown = show_row(shards, row, load_tokenizer(built))
            batch = shards.batch(np.array([row]))
            ((_, _, music_start, end, *_),) = batch.segments.tolist()
            assert parse_dump(shown.text).tolist() == (batch.ids[0, music_start - 1 : end] - 300).tolist()
            assert shown.text.startswith(f"# row {row}: ")
            assert shown.score.note_count > 20
            assert shown.source in ("bandgen", "mutopia", "midis")
            assert f"# prompt: {shown.prompt!r}" in shown.text


def test_without_a_name_the_first_training_rows_are_shown(built: Path) -> None:
    name, shards = open_row_set(Dataset(built))
    assert (name, len(shards)) == ("short/train", 6)


@pytest.mark.parametrize(
    ("row", "name", "found"),
    [
        (6, None, "there are 6 rows, 0 to 5; there is no row 6"),
        (-1, None, "there is no row -1"),
        (0, "full/train", "no row set 'full/train'; there are short/train, short/valid"),
        (0, "../rows", "no row set"),
    ],
)
def test_a_row_that_is_not_there_is_named(built: Path, row: int, name: str | None, found: str) -> None:
    with pytest.raises(DatasetError, match=found):
        show_row(open_row_set(Dataset(built), name)[1], row, load_tokenizer(built))


def test_a_good_set_passes_with_a_line_for_each_thing(built: Path) -> None:
    lines = list(check_dataset(Dataset(built)))
    assert [line.partition(":")[0] for line in lines] == ["manifest", "pieces", "short/train", "short/valid"]
    assert "6 rows with their digests, 6 pieces of music decode" in lines[2]


def test_any_byte_flipped_in_a_zip_of_pieces_is_found_or_means_nothing(dataset: Dataset) -> None:
    """Means nothing: dates, comments and the like, which zip keeps beside the data."""
    path = dataset.folder / "pieces" / "midis-00000.zip"
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    found = []
    for place in rng.choice(len(whole), 150, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        dataset.close()
        try:
            list(check_dataset(dataset))
        except DatasetError as error:
            found.append(str(error))
    assert len(found) > 100
    assert all("delete index/midis-00000.jsonl.gz and run the build again" in error for error in found)


@pytest.mark.parametrize("name", ["00000.ids.npy", "00000.segments.npy"])
def test_a_byte_flipped_in_a_shard_is_found(dataset: Dataset, name: str) -> None:
    path = dataset.folder / "rows" / "short" / "train" / name
    for place in (0, 9, 40, 130, -1):
        data = bytearray(path.read_bytes())
        data[place] ^= 4
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=r"sha256|cannot be read as shards"):
            list(check_dataset(dataset))


@pytest.mark.parametrize("name", ["pieces/midis-00000.zip", "rows/short/train/00000.ids.npy", "tokenizer.json"])
def test_a_file_that_is_missing_is_named(dataset: Dataset, name: str) -> None:
    (dataset.folder / name).unlink()
    with pytest.raises(DatasetError, match=Path(name).name):
        list(check_dataset(dataset))


def test_rows_that_were_not_finished_or_were_made_with_something_else_are_found(dataset: Dataset) -> None:
    folder = dataset.folder / "rows" / "short" / "train"
    text = (dataset.folder / "tokenizer.json").read_text()
    (dataset.folder / "tokenizer.json").write_text(text.replace('"version"', ' "version"'))
    with pytest.raises(DatasetError, match="was made with another tokenizer"):
        list(check_dataset(dataset))
    (dataset.folder / "tokenizer.json").write_text(text)
    (folder / "shards.json").unlink()
    with pytest.raises(DatasetError, match=r"shards\.json is missing; run the build again"):
        list(check_dataset(dataset))


def test_shards_of_a_newer_version_are_refused(dataset: Dataset) -> None:
    path = dataset.folder / "rows" / "short" / "train" / "shards.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(DatasetError, match="has format 99; this program reads 2: update midi-llm"):
        list(check_dataset(dataset))


def test_a_manifest_of_a_newer_version_or_without_its_end_is_refused(dataset: Dataset) -> None:
    path = dataset.folder / "manifest.jsonl.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(DatasetError, match="damaged"):
        list(check_dataset(Dataset(dataset.folder)))
    path.write_bytes(gzip.compress(b'{"format_version":99,"rows":0}\n'))
    with pytest.raises(DatasetError, match="format 99, this program reads 1; upgrade midi-llm"):
        list(check_dataset(Dataset(dataset.folder)))


def test_a_work_or_a_file_in_two_splits_is_found_but_not_a_name_that_two_sources_use(dataset: Dataset) -> None:
    path = dataset.folder / "manifest.jsonl.gz"
    rows = [row for row in read_manifest(path) if row.dropped is None]
    train, valid = (next(row for row in rows if row.split == split) for split in ("train", "valid"))
    held = [row for row in rows if row not in (train, valid)]
    grouped = [replace(row, metadata=Metadata(group="g")) for row in (train, replace(valid, source=train.source))]
    for pair, found in (
        (grouped, f"work g of {train.source} is in train and in valid"),
        ([train, replace(valid, sha256=train.sha256)], f"digest {train.sha256} is in train and in valid"),
        ([train, replace(valid, id=train.id)], "an id stands twice"),
        ([replace(grouped[0], source="a"), replace(grouped[1], source="b")], "was made with another manifest"),
    ):
        write_manifest([*pair, *held], path)
        with pytest.raises(DatasetError, match=found):
            list(check_dataset(Dataset(dataset.folder)))


def test_a_piece_that_is_another_file_is_found(dataset: Dataset) -> None:
    path = dataset.folder / "pieces" / "midis-00000.zip"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"another")
    with pytest.raises(DatasetError, match="is not the file that was indexed; delete index/midis-00000"):
        list(check_dataset(dataset))


def test_a_folder_without_a_manifest_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no manifest\.jsonl\.gz; make it with: midi-llm data build"):
        Dataset(tmp_path)


def test_only_one_zip_is_open_at_a_time_and_every_piece_is_read(built: Path) -> None:
    dataset = Dataset(built)
    kept = [row for row in dataset.rows if row.dropped is None]
    notes = {row.id: dataset.score(row).note_count for row in [*kept, *kept[::-1]]}
    assert notes == {row.id: row.notes for row in kept}
    assert len({row.pack for row in kept}) == 2
    dataset.close()
    assert dataset.midi(kept[0])


@pytest.mark.parametrize(
    "data", [b"{}", b"\x1f\x8b\x08", gzip.compress(b"{}\n", mtime=0), gzip.compress(b"[1]\n", mtime=0)]
)
def test_damaged_texts_are_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "musicpile-00003.jsonl.gz"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"is damaged: .*; delete index/musicpile-00003\.jsonl\.gz"):
        list(read_texts(path))
