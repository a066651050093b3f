from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from midi_llm.errors import RequestError
from midi_llm.music.roll import COLOURS, DRUM_COLOUR, piano_roll_svg
from midi_llm.music.score import Note, Score, Track, note_array

SVG = "{http://www.w3.org/2000/svg}"


def make_score(programs: int = 3, *, drums: bool = True) -> Score:
    rng = np.random.default_rng(3)
    tracks = [
        Track(
            program=9 * k,
            notes=note_array(
                [Note(time=i / 2, duration=0.4, pitch=int(rng.integers(40, 90))) for i in range(k + 1, 20)]
            ),
        )
        for k in range(programs)
    ]
    kit = Track(is_drum=True, notes=note_array([Note(time=i / 4, duration=0.1, pitch=36 + i % 3) for i in range(40)]))
    return Score(tracks=(*tracks, kit) if drums else tuple(tracks))


def bars(svg: str, colour: str) -> list[ElementTree.Element]:
    groups = ElementTree.fromstring(svg).findall(f"{SVG}g[@fill='{colour}']")
    return [bar for group in groups for bar in group]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_every_note_is_a_bar_in_the_colour_of_its_instrument_and_inside_the_picture() -> None:
    score = make_score()
    svg = piano_roll_svg(score, width=640, height=300)
    assert [len(bars(svg, colour)) for colour in (*COLOURS[:3], DRUM_COLOUR)] == [19, 18, 17, 40]
    for bar in bars(svg, COLOURS[0]) + bars(svg, DRUM_COLOUR):
        x, y, wide, tall = (float(bar.attrib[key]) for key in ("x", "y", "width", "height"))
        assert 0 <= x < x + wide <= 640
        assert 0 <= y < y + tall <= 300


def test_later_notes_are_further_right_and_higher_notes_further_up() -> None:
    notes = [Note(time=0.0, duration=1.0, pitch=50), Note(time=2.0, duration=1.0, pitch=80)]
    first, second = bars(piano_roll_svg(Score(tracks=(Track(notes=note_array(notes)),))), COLOURS[0])
    assert float(first.attrib["x"]) < float(second.attrib["x"])
    assert float(first.attrib["y"]) > float(second.attrib["y"])


def test_the_legend_names_the_instruments_and_the_axis_the_seconds() -> None:
    written = texts(piano_roll_svg(make_score(), title="A <quick> & 'brown' \x00 fox"))
    assert {"Acoustic Grand Piano", "Glockenspiel", "Rock Organ", "Drums", "0 s", "drums"} <= set(written)
    assert written[0] == "A <quick> & 'brown'   fox"


def test_the_same_score_gives_the_same_text() -> None:
    assert piano_roll_svg(make_score()) == piano_roll_svg(make_score())


@pytest.mark.parametrize("score", [Score(), make_score(0), make_score(1, drums=False), make_score(14)])
def test_scores_of_every_kind_are_drawn(score: Score) -> None:
    svg = piano_roll_svg(score)
    assert ElementTree.fromstring(svg).attrib["viewBox"] == "0 0 960 400"
    assert "nan" not in svg


def test_a_piece_of_hours_has_few_axis_labels() -> None:
    notes = note_array([Note(time=80_000.0, duration=1.0, pitch=60)])
    assert len(texts(piano_roll_svg(Score(tracks=(Track(notes=notes),))))) < 60


def test_a_picture_too_small_is_a_request_error() -> None:
    for width, height, score in ((100, 300, Score()), (300, 20, Score()), (200, 120, make_score(14))):
        with pytest.raises(RequestError, match=r"small|room"):
            piano_roll_svg(score, width=width, height=height)
