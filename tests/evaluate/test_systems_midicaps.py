"""MidiCaps' captions and pieces as an evaluation set, from tiny files in its layout."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from midi_llm.errors import DatasetError, RequestError
from midi_llm.evaluate.prompts import PromptFacts
from midi_llm.evaluate.systems.base import Job
from midi_llm.evaluate.systems.midicaps import midicaps_set, read_ids, row_facts
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.write import to_midi_bytes

ROWS = [
    {"caption": "A slow waltz.", "tempo": 84, "key": "A# minor", "time_signature": "3/4"},
    {"caption": "Fast rock.", "tempo": "150.5", "key": "C major", "time_signature": "4/4"},
    {"caption": "", "tempo": 90, "key": "C major", "time_signature": "4/4"},
]
MIDI = [
    to_midi_bytes(Score(tracks=(Track(notes=note_array([Note(time=0.5 * t, duration=0.4, pitch=60 + n)])),)))
    for n, t in enumerate(range(len(ROWS)))
]
IDS = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in MIDI]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(tmp_path / "midicaps.tar.gz", "w:gz") as archive:
        for name, content in zip(IDS, MIDI, strict=True):
            info = tarfile.TarInfo(f"lmd_full/{name[0]}/{name}.mid")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    rows = [row | {"location": f"lmd_full/{name[0]}/{name}.mid"} for row, name in zip(ROWS, IDS, strict=True)]
    (tmp_path / "train.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_prompts_are_captions_with_the_columns_as_facts_and_pieces_are_as_they_are(folder: Path) -> None:
    prompts, pieces = midicaps_set(folder, [IDS[1], IDS[0]])
    assert [(prompt.id, prompt.text) for prompt in prompts] == [(IDS[1], "Fast rock."), (IDS[0], "A slow waltz.")]
    assert prompts[1].facts == PromptFacts(bpm=84.0, key="Bb minor", mode="minor", metre=(3, 4))
    assert prompts[0].facts.bpm == 150.5
    (delivery,) = pieces.compose([Job(prompt=prompts[0], number=0, seed=0, seconds=None)])
    assert delivery.midi == MIDI[1]


def test_ids_without_a_caption_or_a_file_are_named(folder: Path) -> None:
    with pytest.raises(RequestError, match=f"2 of 3 ids, such as {IDS[2]}, {'f' * 32}"):
        midicaps_set(folder, [IDS[0], IDS[2], "f" * 32])
    with pytest.raises(DatasetError, match=r"train\.json is missing"):
        midicaps_set(folder / "nowhere", IDS)


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        ({}, PromptFacts()),
        ({"tempo": -1, "key": "H major", "time_signature": "waltz"}, PromptFacts()),
        ({"tempo": "fast", "key": None, "time_signature": "4/5"}, PromptFacts()),
        ({"tempo": 120.0, "key": "F# minor"}, PromptFacts(bpm=120.0, key="Gb minor", mode="minor")),
        ({"time_signature": " 6/8"}, PromptFacts(metre=(6, 8))),
        ({"tempo": True, "key": 7, "time_signature": "4/4/4"}, PromptFacts()),
    ],
)
def test_what_a_row_does_not_say_is_not_asked_for(row: dict[str, object], facts: PromptFacts) -> None:
    assert row_facts(row) == facts


def test_a_list_of_ids_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(f"{IDS[0]}\n\n{IDS[1].upper()}\n{IDS[0]}\n")
    assert read_ids(path) == IDS[:2]
    for content, found in (("hello\n", "'hello'"), ("", "nothing"), (IDS[0][:-1], IDS[0][:-1])):
        path.write_text(content)
        with pytest.raises(RequestError, match=found):
            read_ids(path)
    with pytest.raises(RequestError, match="cannot be read"):
        read_ids(tmp_path / "none.txt")
