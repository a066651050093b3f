from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

import pytest

from midi_llm.data.files import check_same, write_whole
from midi_llm.errors import DatasetError


def fail_after(data: bytes, error: Exception):
    def write(file: BinaryIO) -> None:
        file.write(data)
        raise error

    return write


def test_files_are_written_with_their_folders_and_nothing_else(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "one", tmp_path / "b" / "c" / "two"
    write_whole({first: lambda file: file.write(b"1"), second: lambda file: file.write(b"22")})
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"22")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["one", "two"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), DatasetError("broken"), KeyError("x")])
def test_whatever_fails_the_old_file_stays_and_no_half_one_is_left(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    kind = DatasetError if isinstance(error, OSError) else type(error)
    with pytest.raises(kind, match="No space left on device; free some space" if kind is not type(error) else None):
        write_whole({path: lambda file: file.write(b"new"), tmp_path / "b": fail_after(b"half", error)})
    assert [other.name for other in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_file_in_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DatasetError, match="could not be written"):
        check_same(tmp_path / "out" / "build.json", {})
    assert (tmp_path / "out").read_text() == "a file"


def test_what_a_killed_process_left_hidden_is_no_content_and_is_written_over(tmp_path: Path) -> None:
    hidden = tmp_path / ".build.json.partial"
    hidden.write_text('{"half')
    check_same(tmp_path / "build.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["build.json"]


def test_a_record_must_stay_and_differences_are_named_with_both_values(tmp_path: Path) -> None:
    path = tmp_path / "new" / "build.json"
    record = {"version": 1, "sources": [{"name": "x", "revision": "abc"}], "filters": {"min_notes": 3}, "size": (1, 2)}
    check_same(path, record)
    before = path.read_bytes()
    check_same(path, record)
    for changed, found in (
        (record | {"version": 2}, "version was 1, is now 2;"),
        (record | {"filters": {"min_notes": 4}}, "filters.min_notes was 3, is now 4;"),
        (record | {"sources": [{"name": "x", "revision": "d"}]}, "sources.0.revision was 'abc', is now 'd';"),
        (record | {"sources": []}, "sources.0 was {'name'.* is now None;"),
        (record | {"more": "y" * 1000}, r"more was None, is now 'y{79}; use the same"),
        (record | {"sources": [{str(i): i for i in range(9)}]}, "and 6 more; use"),
    ):
        with pytest.raises(DatasetError, match=found):
            check_same(path, changed)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "\x00", "\udcff"])
def test_a_damaged_record_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "build.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DatasetError, match=r"build\.json (is damaged|was begun)"):
        check_same(tmp_path / "build.json", {"a": 1})


def test_a_folder_in_use_for_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "song.mid").write_bytes(b"mine")
    with pytest.raises(DatasetError, match=r"is not empty and holds no build\.json; choose a new folder"):
        check_same(tmp_path / "build.json", {})
    assert json.dumps([path.name for path in tmp_path.iterdir()]) == '["song.mid"]'
