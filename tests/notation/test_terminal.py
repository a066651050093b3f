"""A piece in the terminal: width, bars, colours, letters, groups of drums."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from midi_llm.errors import RequestError
from midi_llm.music.score import KeySignature, Note, Score, Tempo, Track, note_array
from midi_llm.notation.terminal import LETTERS, MOST_ROWS, show

COLOUR = re.compile("\x1b\\[[0-9;]*m")


def piece(bars: int = 8, tracks: int = 2) -> Score:
    lines = [
        Track(
            program=8 * (number % 16),
            name=f"Line {number + 1}",
            notes=note_array(
                Note(time=t / 2, duration=0.4, pitch=48 + 5 * (number % 8) + t % 4) for t in range(4 * bars)
            ),
        )
        for number in range(tracks)
    ]
    beat = note_array(Note(time=t / 2, duration=0.1, pitch=(36, 42, 38, 49, 70)[t % 5]) for t in range(4 * bars))
    return Score(tracks=(*lines, Track(is_drum=True, notes=beat)), tempos=(Tempo(time=0, bpm=120),))


def roll(lines: list[str]) -> list[str]:
    """The lines after the second empty one."""
    return lines[len(lines) - lines[::-1].index("") :]


def test_facts_and_table_say_what_is_in_the_file() -> None:
    lines = show(replace(piece(), key_signatures=(KeySignature(time=0, key="C minor"),)), width=100)
    assert lines[0] == "0:16, 8 bars, 120 bpm, 4/4, C minor, 96 notes"
    table = lines[2:5]
    assert [re.split(r"\s{2,}", line.strip()) for line in table] == [
        ["■", "1 Line 1", "Acoustic Grand Piano", "32 notes", "C3\u2013Eb3", "0:00\u20130:16"],
        ["■", "2 Line 2", "Celesta", "32 notes", "F3\u2013Ab3", "0:00\u20130:16"],
        ["■", "3 Drums", "Drums", "32 notes", "5 drums", "0:00\u20130:16"],
    ]
    assert "minor" not in show(piece())[0]


@pytest.mark.parametrize("width", [10, 40, 61, 80, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, colour: bool) -> None:
    lines = show(piece(tracks=64), width=width, colour=colour)
    assert max(len(COLOUR.sub("", line)) for line in lines) <= max(width, 40)
    assert len(roll(lines)) <= MOST_ROWS + 7


def test_bars_are_numbered_where_they_begin() -> None:
    notes = note_array([Note(time=1.0, duration=7.0, pitch=60), Note(time=0.0, duration=7.0, pitch=72)])
    numbers, *rows = roll(show(Score(tracks=(Track(notes=notes),)), width=5 + 64))
    assert [(match[0], match.start()) for match in re.finditer(r"\d+", numbers)] == [
        ("1", 5), ("2", 21), ("3", 37), ("4", 53),
    ]  # fmt: skip
    empty = next(row for row in rows if not set(row[5:]) & set(LETTERS[:3]))
    assert [at for at, letter in enumerate(empty) if letter == "│"] == [5, 21, 37, 53]


def test_many_bars_are_numbered_sparsely() -> None:
    numbers = re.findall(r"\d+", roll(show(piece(400), width=80))[0])
    assert numbers[:3] == ["1", "33", "65"]


def test_a_range_of_bars_shows_only_what_sounds_in_it() -> None:
    notes = note_array([Note(time=2.0 * bar, duration=2.0, pitch=60 + 2 * bar) for bar in range(6)])
    score = Score(tracks=(Track(notes=notes),), tempos=(Tempo(time=0, bpm=120),))
    numbers, *rows = roll(show(score, width=45, first_bar=3, last_bar=4))
    assert re.findall(r"\d+", numbers) == ["3", "4"]
    assert len(rows) == 2
    assert sorted(len(re.findall("[▀▄█]", row)) for row in rows) == [20, 20]
    assert re.findall(r"\d+", roll(show(score, first_bar=5, last_bar=99))[0]) == ["5", "6"]
    with pytest.raises(RequestError, match="bar 7 does not exist; the piece has 6 bars"):
        show(score, first_bar=7)


def test_higher_notes_are_further_up_and_repeated_ones_can_be_told_apart() -> None:
    notes = [Note(time=t, duration=0.9, pitch=60) for t in range(4)] + [Note(time=0, duration=4, pitch=72)]
    rows = roll(show(Score(tracks=(Track(notes=note_array(notes)),)), width=45))
    assert rows[-1].lstrip().startswith("C4")
    assert len(re.findall("[▀▄█]+", rows[-1])) == 4
    assert re.search("[▀▄]{39,40}", rows[1])


def test_colours_differ_by_track_and_are_absent_without_them() -> None:
    plain, coloured = show(piece()), show(piece(), colour=True)
    assert not any("\x1b" in line for line in plain)
    letters = str.maketrans(dict.fromkeys("▀▄█", "#"))  # two tracks in a cell are one letter of two colours
    bare = [COLOUR.sub("", line).translate(letters).rstrip() for line in coloured]
    assert bare == [line.translate(letters) for line in plain]
    marks = [line[: line.index("m") + 1] for line in coloured[2:5]]
    assert len(set(marks)) == 3
    assert all(line.count("\x1b[0m") == len(re.findall("\x1b\\[[1-9][0-9;]*m", line)) for line in coloured)


def test_ascii_is_all_ascii() -> None:
    lines = show(piece(), unicode=False)
    assert all(line.isascii() for line in lines)
    assert any("'" in line for line in roll(lines))


def test_drums_lie_below_in_groups() -> None:
    rows = roll(show(piece(), width=85))[-5:]
    assert [row[:4] for row in rows] == ["cymb", "hats", "snar", "kick", "perc"]
    assert all("■" in row for row in rows)


def test_a_file_without_notes_says_so() -> None:
    assert show(Score()) == ["no notes"]
