import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.data.manifest import PieceRow, read_manifest, row_from_json, row_to_json, write_manifest
from midi_llm.data.sources.base import Metadata
from midi_llm.errors import DatasetError

texts = st.text(st.characters(), max_size=8)  # surrogates, line breaks and control characters too
lists = st.lists(texts, max_size=3).map(tuple)
finite = st.floats(0, 1e6)
metadata = st.builds(
    Metadata,
    title=texts, composer=texts, licence=texts, attribution=texts, url=texts, group=texts, ensemble=texts, period=texts,
    split=st.none() | st.sampled_from(["train", "valid", "test"]),
    genres=lists, moods=lists, captions=lists, form=lists,
    key=st.none() | texts, tempo_is_known=st.booleans(), synthetic=st.booleans(),
)  # fmt: skip
rows = st.builds(
    PieceRow,
    id=texts, source=texts, pack=texts, sha256=texts, md5=texts, fingerprint=texts, duplicate_of=texts,
    split=st.sampled_from(["train", "valid", "test"]),
    metadata=metadata, notes=st.integers(0, 10**7), seconds=finite,
    instruments=st.dictionaries(st.integers(0, 128), st.integers(1, 10**6), max_size=3),
    bpm=st.none() | finite, metre=st.none() | st.tuples(st.integers(1, 99), st.integers(1, 64)),
    key=st.none() | texts, dropped=st.none() | texts,
)  # fmt: skip


def row(number: int = 0, **fields) -> PieceRow:
    known = {"source": "a", "pack": "a-00000", "sha256": "00", "split": "train", "metadata": Metadata(title="Ohé")}
    return PieceRow(id=f"a/{number}", **(known | fields))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "manifest.jsonl.gz"
    write_manifest([row(number) for number in range(50)], path)
    return path


def rewrite(path, change) -> None:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join(change(lines)).encode()))


@settings(max_examples=60, deadline=None)
@given(rows)
def test_a_row_comes_back_from_json_text(given_row):
    assert row_from_json(json.loads(json.dumps(row_to_json(given_row)))) == given_row


@settings(max_examples=15, deadline=None)
@given(st.lists(rows, max_size=4))
def test_a_manifest_comes_back_in_order(tmp_path_factory, given_rows):
    path = tmp_path_factory.mktemp("manifest") / "m.jsonl.gz"
    write_manifest(given_rows, path)
    assert read_manifest(path) == given_rows


def test_equal_rows_give_equal_bytes_under_any_name_and_leave_nothing_else(tmp_path):
    several = [row(1, instruments={5: 1, 3: 2}), row(2)]
    again = [row(1, instruments={3: 2, 5: 1}), row(2)]
    write_manifest(several, tmp_path / "one.jsonl.gz")
    write_manifest(again, tmp_path / "two.jsonl.gz")
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_defaults_take_no_space():
    assert row_to_json(row()).keys() == {"id", "source", "pack", "sha256", "split", "metadata"}
    assert row_to_json(row())["metadata"] == {"title": "Ohé"}


def test_a_newer_manifest_asks_for_an_upgrade(written):
    rewrite(written, lambda lines: ['{"format_version":2,"rows":50}', *lines[1:]])
    with pytest.raises(DatasetError, match=r"line 1: the manifest has format 2, .* upgrade"):
        read_manifest(written)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "line 7: .*build it again"),
        ("[" * 100_000, "line 7: .*build it again"),
        ("[]", "line 7: .*not an object"),
        ('{"id":"x"}', "line 7: fields missing: source, pack"),
        (json.dumps(row_to_json(row()) | {"colour": "red"}), "line 7: .*unknown: colour"),
        (json.dumps(row_to_json(row()) | {"notes": "many"}), "line 7: notes is 'many': expected int"),
        (json.dumps(row_to_json(row()) | {"split": "dev"}), "line 7: split is 'dev': expected one of train"),
        (json.dumps(row_to_json(row()) | {"metre": [3]}), "line 7: metre"),
        (json.dumps(row_to_json(row()) | {"instruments": {"piano": 3}}), "line 7: instruments"),
        (json.dumps(row_to_json(row()) | {"metadata": {"genres": "rock"}}), "line 7: genres is 'rock': expected list"),
    ],
)
def test_a_damaged_line_is_named(written, line, message):
    rewrite(written, lambda lines: [*lines[:6], line, *lines[7:]])
    with pytest.raises(DatasetError, match=message):
        read_manifest(written)


def test_a_manifest_that_is_cut_off_is_refused_at_every_length(written):
    whole = written.read_bytes()
    for length in range(0, len(whole), 23):
        written.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match="build it again"):
            read_manifest(written)


@pytest.mark.parametrize(
    "change", [lambda lines: lines[:-1], lambda lines: lines[1:], lambda lines: [*lines, lines[-1]]]
)
def test_missing_and_added_lines_are_noticed(written, change):
    rewrite(written, change)
    with pytest.raises(DatasetError, match="build it again"):
        read_manifest(written)


def test_a_file_that_is_no_gzip_and_one_that_is_not_there_are_dataset_errors(tmp_path):
    (tmp_path / "m").write_bytes(b"plain text")
    for name in ("m", "absent"):
        with pytest.raises(DatasetError, match=f"{name} is damaged or missing"):
            read_manifest(tmp_path / name)
