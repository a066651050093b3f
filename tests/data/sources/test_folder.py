from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources.layouts import everything, midi, pieces, reasons, write_lines
from midi_llm.data.sources import folder as folder_module
from midi_llm.data.sources.caption_file import MAX_CAPTION_CHARACTERS, clean_caption, read_caption_file
from midi_llm.data.sources.folder import FolderSource
from midi_llm.errors import DatasetError

FILES = ("a/one.mid", "a/two.MIDI", "b/one.kar", "Three.Mid")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "My Midis (2)"
    for number, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(midi(number))
    (root / "notes.txt").write_text("not music")
    return root


def test_all_midi_files_are_found_at_any_depth_and_in_any_case(folder: Path) -> None:
    source = FolderSource(folder)
    found = pieces(everything(source))
    assert source.name == "my-midis-2"
    assert list(found) == sorted(FILES)
    assert found["a/two.MIDI"].data == midi(1)
    assert found["a/two.MIDI"].path == "a/two.MIDI"


def test_what_is_not_a_small_regular_file_is_never_opened(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mid"
    secret.write_bytes(midi(9))
    (folder / "link.mid").symlink_to(secret)
    (folder / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.mid")
    (folder / "sparse.mid").touch()
    os.truncate(folder / "sparse.mid", 2 * 2**30)
    items = everything(FolderSource(folder))
    assert sorted(pieces(items)) == sorted(FILES)
    assert reasons(items) == {"link.mid": "symbolic link", "pipe.mid": "not a regular file", "sparse.mid": "too large"}


def test_a_file_name_that_is_not_utf8_is_skipped(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mid")).write_bytes(midi(9))
    assert list(reasons(everything(FolderSource(folder))).values()) == ["name is not UTF-8"]


def test_the_revision_follows_files_and_captions(folder: Path, tmp_path: Path) -> None:
    captions = write_lines(tmp_path / "c.jsonl", [{"file": "a/one.mid", "caption": "A waltz."}])
    plain = FolderSource(folder).revision
    captioned = FolderSource(folder, captions=captions).revision
    write_lines(captions, [{"file": "a/one.mid", "caption": "A march."}])
    (folder / "Three.Mid").write_bytes(b"MThd")
    assert len({plain, captioned, FolderSource(folder).revision, FolderSource(folder, captions=captions).revision}) == 4


def test_captions_find_their_files(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "FILES_PER_PART", 3)
    rows = [
        {"file": "./a/one.mid", "caption": "By path.", "title": "One", "composer": "Anna", "genre": "folk",
         "moods": ["calm", "sad"], "licence": "CC0", "attribution": "Me", "split": "validation", "key": "A minor"},
        {"location": "lmd_full/a/two.mid", "captions": ["By the end of a longer path.", "Again."]},
        {"path": "b/one", "text": "Without its ending."},
        {"id": "Three", "caption": "By its name."},
        {"id": 77, "caption": "Nobody's."},
        {"file": "c/one.mid", "caption": "Another folder's."},
    ]  # fmt: skip
    source = FolderSource(folder, captions=write_lines(tmp_path / "captions.jsonl", rows))
    items = everything(source)
    found = {name: piece.metadata for name, piece in pieces(items).items()}
    assert {name: metadata.captions for name, metadata in found.items()} == {
        "Three.Mid": ("By its name.",),
        "a/one.mid": ("By path.",),
        "a/two.MIDI": ("By the end of a longer path.", "Again."),
        "b/one.kar": ("Without its ending.",),
    }
    one = found["a/one.mid"]
    assert (one.title, one.composer, one.licence, one.attribution) == ("One", "Anna", "CC0", "Me")
    assert (one.genres, one.moods, one.split, one.key) == (("folk",), ("calm", "sad"), "valid", "A minor")
    assert reasons(items) == {
        "77#line 5": "caption without a file",
        "c/one.mid#line 6": "caption without a file",
    }


def test_a_dot_in_a_name_is_no_ending(folder: Path, tmp_path: Path) -> None:
    (folder / "op. 27 no. 2.mid").write_bytes(midi(5))
    (folder / "op. 27 no.mid").write_bytes(midi(6))
    captions = write_lines(tmp_path / "c.jsonl", [{"id": "op. 27 no. 2", "caption": "Moonlight."}])
    found = pieces(everything(FolderSource(folder, captions=captions)))
    assert [name for name, piece in found.items() if piece.metadata.captions] == ["op. 27 no. 2.mid"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("[1, 2]", r"line 2 is a JSON list; every line must be an object"),
        ("{broken", r"line 2 is no JSON"),
        ({"caption": "x"}, r"line 2 names no file; it needs one of file, path, location, id"),
        ({"file": "a", "title": "x"}, r"line 2 describes nothing; it needs one of caption, captions, text"),
        ({"file": "a", "caption": " \u0000 "}, r"line 2 describes nothing"),
        ({"file": "a", "caption": 5}, r"line 2: caption is 5; allowed are a text and a list of texts"),
        ({"file": "a", "caption": "x", "moods": [1]}, r"line 2: moods is \[1\]"),
        ({"file": "a", "caption": "x", "split": "tset"}, r"line 2: split is 'tset'; allowed are train"),
        ({"file": "a/one.mid", "caption": "x"}, r"lines 1 and 2 both describe 'a/one\.mid'"),
    ],
)
def test_a_wrong_line_is_named(folder: Path, tmp_path: Path, row: dict[str, object] | str, message: str) -> None:
    captions = write_lines(tmp_path / "c.jsonl", [{"file": "a/one.mid", "caption": "A waltz."}, row])
    with pytest.raises(DatasetError, match=message):
        FolderSource(folder, captions=captions)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["x.mid", "y.mid"],
            r"0 of 2 captions name a file .*the first names 'x\.mid', the first file is 'Three\.Mid'",
        ),
        (["one"], r"line 1 names 'one', which fits 2 files \(a/one\.mid, b/one\.kar\)"),
        (["a/one.mid", "a/one"], r"lines 1 and 2 both describe a/one\.mid"),
    ],
)
def test_captions_that_do_not_fit_the_folder_are_an_error(
    folder: Path, tmp_path: Path, names: list[str], message: str
) -> None:
    captions = write_lines(tmp_path / "c.jsonl", [{"file": name, "caption": "x"} for name in names])
    with pytest.raises(DatasetError, match=message):
        FolderSource(folder, captions=captions).parts()


def test_missing_things_are_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no folder"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"c\.jsonl is missing"):
        FolderSource(folder, captions=tmp_path / "c.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="has no MIDI file"):
        FolderSource(tmp_path / "empty").parts()
    (tmp_path / "latin.jsonl").write_bytes(b'{"file": "a/one.mid", "caption": "caf\xe9"}')
    with pytest.raises(DatasetError, match="cannot be read as UTF-8"):
        read_caption_file(tmp_path / "latin.jsonl")


def test_a_long_caption_ends_with_a_sentence() -> None:
    sentences = "A slow waltz in 3.5 parts. " * 60
    assert len(clean_caption(sentences)) == 26 + 27 * ((MAX_CAPTION_CHARACTERS - 26) // 27)
    assert clean_caption(sentences).endswith("parts.")
    assert clean_caption("word " * 300).endswith("word")
    assert clean_caption("a\x00b\n\u2028c\td") == "a b c d"


@given(st.text(max_size=1200))
def test_a_clean_caption_is_one_short_line(text: str) -> None:
    caption = clean_caption(text)
    assert len(caption) <= MAX_CAPTION_CHARACTERS
    assert caption == " ".join(caption.split()) == clean_caption(caption)
    caption.encode()
