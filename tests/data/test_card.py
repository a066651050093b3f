"""The data card: one safe, self-contained, well-formed page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from data.corpora import make_score
from data.piece_rows import piece_row, some_rows
from midi_llm.data.card import CardExample, data_card
from midi_llm.data.plots import bars, circle_of_fifths_svg, compact, histogram_svg, share, waterfall
from midi_llm.data.sources.base import Metadata
from midi_llm.data.stats import ShardStats, dataset_stats, histogram

EVIL = "<script>alert('x')</script>\" onload=\"y\x00"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Tags, attributes and text; fails where a tag is not closed in its place."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def shard_numbers(name: str = "stage1") -> ShardStats:
    return ShardStats(
        name=name,
        rows=10,
        length=512,
        segments=12,
        ids=4000,
        fill=0.78,
        kinds={"plain": 9, "span": 3},
        sources={"folk": 12},
        sampled_rows=10,
        captioned=0.75,
        caption_words=histogram([3, 9, 12], (0, 10, 20)),
    )


def card(**changes: object) -> str:
    values = {"title": "Tests", "settings": {"seed": 1}, "digest": "ab12"} | changes
    return data_card(dataset_stats(some_rows()), **values)  # type: ignore[arg-type]


def test_the_page_is_well_formed_and_says_the_numbers() -> None:
    page = Page(card(shards=[shard_numbers()], examples=[CardExample(caption="a waltz", score=make_score(1))]))
    for words in (
        "4 pieces of symbolic music with 1,200 notes",
        "too few notes",
        "CC-BY-4.0",
        "a waltz",
        "ab12",
        "stage1",
    ):
        assert words in page.words
    assert page.tags.count("h1") == 1


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = card(shards=[shard_numbers()], examples=[CardExample(caption="a", score=make_score(1))])
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "href"}]
    addresses = set(re.findall(r"https?://[^'\" ]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a namespace, which nobody fetches
    assert "url(" not in html
    assert "@import" not in html


def test_names_from_files_cannot_break_out() -> None:
    metadata = Metadata(title=EVIL, licence=EVIL, attribution=EVIL, genres=(EVIL,), moods=(EVIL,))
    rows = [piece_row("a", source=EVIL, metadata=metadata, metre=(4, 4)), piece_row("b", source=EVIL, dropped=EVIL)]
    html = data_card(
        dataset_stats(rows),
        title=EVIL,
        settings={EVIL: EVIL},
        digest=EVIL,
        shards=[shard_numbers(EVIL)],
        examples=[CardExample(caption=EVIL, score=make_score(1), origin=EVIL)],
    )
    page = Page(html)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name == "onload"]
    assert page.words.count("<script>alert('x')</script>") >= 8
    assert "\x00" not in html


def test_a_card_of_nothing_is_a_card() -> None:
    page = Page(data_card(dataset_stats([]), title="Empty", settings={}, digest=""))
    assert "0 pieces" in page.words


def test_sections_without_content_are_left_out() -> None:
    words = Page(card()).words
    assert "Training rows" not in words
    assert "Examples" not in words


def test_the_same_numbers_give_the_same_page() -> None:
    assert card() == card()


def test_it_follows_the_readers_colours_and_prints() -> None:
    html = card()
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "width=device-width" in html


def test_every_instrument_at_once_has_room_for_its_legend() -> None:
    one = make_score(1, bars=1)
    many = replace(one, tracks=tuple(replace(one.tracks[0], program=program) for program in range(128)))
    page = Page(card(examples=[CardExample(caption="all", score=many)]))
    assert all(page.words.count(name) for name in ("Acoustic Grand Piano", "Guitar Harmonics", "Gunshot"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (999, "999"), (1000, "1.0 k"), (33_030_955, "33.0 M"), (999_999, "1.0 M"), (123_456, "123 k")],
)
def test_large_numbers_have_three_figures(value: float, shown: str) -> None:
    assert compact(value) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(1, 0, "0 %"), (1, 8, "12 %"), (1, 80, "1.2 %"), (1, 10**6, "<0.1 %"), (0, 9, "0 %")]
)
def test_shares_have_two_figures(part: float, whole: float, shown: str) -> None:
    assert share(part, whole) == shown


def test_a_histogram_draws_what_was_counted() -> None:
    svg = histogram_svg(histogram([1, 1, 2, 40], range(0, 31, 2)), title="T & U", axis="seconds")
    root = ElementTree.fromstring(svg)
    heights = [float(bar.get("height", "0")) for bar in root.iter("rect")]
    assert len(heights) == 3  # bins 0-2, 2-4 and the last
    assert heights[0] == pytest.approx(2 * heights[1], rel=0.01)
    words = [text.text for text in root.iter("text")]
    assert {"30+", "seconds", "pieces", "median 1.5"} <= set(words)


def test_whole_numbers_are_named_in_the_middle_of_their_bars() -> None:
    root = ElementTree.fromstring(histogram_svg(histogram([1, 2, 2], range(1, 6)), title="T", axis="n"))
    bar = next(root.iter("rect"))
    middle = float(bar.get("x", "0")) + float(bar.get("width", "0")) / 2
    label = next(text for text in root.iter("text") if text.text == "1" and text.get("text-anchor") == "middle")
    assert float(label.get("x", "0")) == pytest.approx(middle, abs=0.2)


def test_relative_keys_stand_side_by_side() -> None:
    svg = circle_of_fifths_svg({"C major": 10, "A minor": 5}, title="Keys")
    root = ElementTree.fromstring(svg)
    labels = {t.text: (float(t.get("x", "0")), float(t.get("y", "0"))) for t in root.iter("text") if not t.get("class")}
    assert labels["C"][0] == pytest.approx(0.0, abs=0.1)
    assert labels["Am"][0] == pytest.approx(0.0, abs=0.1)
    assert labels["C"][1] < labels["Am"][1] < 0
    assert labels["G"][0] > 0 > labels["F"][0]
    depths = {path.find("title").text: float(path.get("fill-opacity", "0")) for path in root.iter("path") if len(path)}  # type: ignore[union-attr]
    assert depths["C major: 10"] == pytest.approx(2 * depths["A minor: 5"], rel=0.01)
    assert depths["G major: 0"] == 0.0


def test_bars_end_with_how_many_are_left_out() -> None:
    assert "and 3 more" in bars({str(i): 9 - i for i in range(5)}, most=2, whole=20)


def test_losses_hang_where_the_last_bar_ended() -> None:
    root = ElementTree.fromstring(waterfall(("found", 100), {"short": 20, "long": 30}, ("kept", 50)))
    styles = [bar.get("style") for bar in root.iter("i")]
    assert styles == [
        "width:100.00%",
        "margin-left:80.00%;width:20.00%",
        "margin-left:50.00%;width:30.00%",
        "width:50.00%",
    ]
