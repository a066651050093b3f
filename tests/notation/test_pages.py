"""Pages and pictures: what they need, and what comes out where it is there."""

from __future__ import annotations

import re
import struct
import sys

import pytest

from midi_llm.errors import MissingExtraError, RequestError
from midi_llm.music.roll import piano_roll_svg
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.notation.engrave import engrave
from midi_llm.notation.musicxml import to_musicxml
from midi_llm.notation.picture import svg_to_pdf, svg_to_png

SCORE = Score(tracks=(Track(notes=note_array(Note(time=t / 2, duration=0.5, pitch=60 + t % 12) for t in range(600))),))


def png_size(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_without_the_libraries_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "verovio", None)
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[score\]"):
        engrave(to_musicxml(SCORE))
    with pytest.raises(MissingExtraError, match=r"midi-llm\[pictures\]"):
        svg_to_png(["<svg/>"])


def test_a_score_becomes_pages_of_a4_as_pictures_and_as_a_pdf() -> None:
    pytest.importorskip("verovio")
    pytest.importorskip("typst")
    pages = engrave(to_musicxml(SCORE, title="Up and up"))
    assert len(pages) > 1
    assert "Up and up" in pages[0]
    assert not re.search("[\ue000-\uf8ff]", "".join(pages))  # letters that only a font of music has
    assert all('width="210mm" height="297mm"' in page for page in pages)
    pictures = svg_to_png(pages, paper="white")
    assert [png_size(picture) for picture in pictures] == [(1191, 1684)] * len(pages)
    pdf = svg_to_pdf(pages, paper="white")
    assert pdf[:5] == b"%PDF-"
    assert pdf.count(b"/MediaBox") >= len(pages)


def test_a_roll_becomes_a_picture_half_as_large_again() -> None:
    pytest.importorskip("typst")
    (picture,) = svg_to_png([piano_roll_svg(SCORE, width=640, height=300)])
    assert png_size(picture) == (960, 450)


def test_what_is_no_music_and_no_picture_is_refused() -> None:
    pytest.importorskip("verovio")
    pytest.importorskip("typst")
    with pytest.raises(RequestError, match="Verovio"):
        engrave("<html/>")
    with pytest.raises(RequestError, match="picture"):
        svg_to_png(["no picture"])
