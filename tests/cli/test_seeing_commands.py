"""`show`, `score`, `stems` and `roll` as PNG: what they write."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from midi_llm.cli.show import bars
from midi_llm.errors import RequestError
from midi_llm.music.read import read_midi
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.write import write_midi
from notation.musicxml_reader import read_parts


def fails(result, *words: str) -> bool:
    last = result.err.splitlines()[-1]
    return (
        result.code == 2 and result.out == "" and last.startswith("midi-llm: error:") and all(w in last for w in words)
    )


def test_stems_are_files_of_one_track_each(midi_llm, song: Path) -> None:
    result = midi_llm("stems", song)
    assert result.out.split() == ["song-stems/01-acoustic-grand-piano.mid", "song-stems/02-drums.mid"]
    whole = read_midi(song)
    for path, track in zip(result.out.split(), whole.tracks, strict=True):
        (only,) = read_midi(path).tracks
        assert only.instrument == track.instrument
        assert only.notes["pitch"].tolist() == track.notes["pitch"].tolist()
    Path("taken").write_text("a file")
    assert fails(midi_llm("stems", song, "-o", "taken"), "taken", "it is a file")


def test_a_score_goes_to_stdout_or_a_file_with_its_title(midi_llm, song: Path) -> None:
    shown = midi_llm("score", song).out
    assert midi_llm("score", song, "-o", "a.musicxml", "--title", "Mine").out == "a.musicxml\n"
    written = Path("a.musicxml").read_text(encoding="utf-8")
    assert written == shown.replace("<work-title>song<", "<work-title>Mine<")
    piano, drums = read_parts(written)
    assert ([note[0] for note in piano.notes], piano.faults) == ([float(t) for t in range(8)], [])
    assert len(drums.notes) == 4


def test_pages_of_a_score_are_files_with_numbers(midi_llm, song: Path) -> None:
    pytest.importorskip("verovio")
    pytest.importorskip("typst")
    write_midi(
        Score(tracks=(Track(notes=note_array(Note(time=t, duration=1, pitch=60) for t in range(900))),)), "long.mid"
    )
    assert midi_llm("score", "long.mid", "-o", "long.png").out.split()[:2] == ["long-1.png", "long-2.png"]
    assert midi_llm("score", song, "-o", "song.svg").out == "song.svg\n"
    assert midi_llm("score", song, "-o", "song.pdf").out == "song.pdf\n"
    assert fails(midi_llm("score", "long.mid", "-o", "long.png"), "long-1.png exists")


def test_a_roll_can_be_a_png(midi_llm, song: Path) -> None:
    pytest.importorskip("typst")
    assert midi_llm("roll", song, "-o", "song.png").out == "song.png\n"
    assert struct.unpack(">II", Path("song.png").read_bytes()[16:24]) == (1440, 600)


def test_show_is_as_wide_as_the_terminal_and_plain_in_a_pipe(
    midi_llm, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = midi_llm("show", song).out.splitlines()
    assert lines[0] == "song.mid"
    assert "120 bpm, 4/4" in lines[1]
    assert max(map(len, lines)) <= 60
    assert "\x1b" not in "".join(lines)
    assert "4 " not in midi_llm("show", song, "--bars", "1").out.splitlines()[-5]
    assert fails(midi_llm("show", song, "--bars", "9"), "bar 9 does not exist")


def test_show_has_colours_in_a_terminal_unless_they_are_unwanted(song: Path) -> None:
    pty = pytest.importorskip("pty")

    def shown(**environ: str) -> str:
        master, slave = pty.openpty()
        with os.fdopen(master, "rb") as reader:
            subprocess.run(
                [sys.executable, "-m", "midi_llm", "show", str(song)],
                env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environ},
                stdout=slave,
                check=True,
            )
            os.close(slave)
            return reader.read1(1 << 16).decode()

    assert "\x1b[38;5;" in shown(NO_COLOR="")
    assert "\x1b" not in shown(NO_COLOR="1")


def test_show_writes_ascii_where_stdout_can_do_no_more(song: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "midi_llm", "show", str(song)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.isascii()
    assert b"kick" in done.stdout


@pytest.mark.parametrize(("text", "expected"), [("1-8", (1, 8)), (" 5 ", (5, 5)), ("7-7", (7, 7))])
def test_a_range_of_bars(text: str, expected: tuple[int, int]) -> None:
    assert bars(text) == expected


@pytest.mark.parametrize("text", ["", "0-3", "8-1", "a-b", "1-2-3", "-4"])
def test_what_is_no_range_of_bars(text: str) -> None:
    with pytest.raises(RequestError, match="such as 1-8"):
        bars(text)
