"""The HTML page: one safe, self-contained, well-formed file with plots and pictures."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings

from data.corpora import make_score
from data.test_card import Page
from evaluate.report.reports import EVIL, KEY, REPORTS, SETS, STRICT, TAKES, found, make_report, nothing
from midi_llm.errors import RequestError
from midi_llm.evaluate.record import CopyLine, Report, SetReport, TakeLine
from midi_llm.evaluate.report.page import report_html
from midi_llm.evaluate.report.wording import NOTHING
from midi_llm.music.write import to_midi_bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return report_html(make_report(folder), folder)


def section(html: str, title: str) -> str:
    (part,) = re.findall(rf"<section[^>]*><h2>{title}</h2>.*?</section>", html, flags=re.S)
    return str(part)


def test_the_page_is_well_formed_and_says_what_the_markdown_says(html: str) -> None:
    page = Page(html)
    assert page.tags.count("h1") == 1
    for words in (
        "Evaluation of nano",
        f"{TAKES} takes of {TAKES} prompts by nano (1 failed), beside real and random.",
        "midi-llm evaluate nano \\\n  --seed 7",
        f"count {TAKES}; sha256 ab12",
        "c0ffee",
        "kind model; bounds (notes 6; gap 4)",
        "2026-01-02",
        "few takes for a covariance",
        "out of memory",
        "1 of 12 takes failed: random",
        "GS 2.0",
        "-23 (nano); -24 (real); -25 (random)",
    ):
        assert words in page.words


def test_every_family_has_a_table_with_every_set(html: str) -> None:
    for family in ("Validity", "Control", "Texture", "Audio"):
        words = re.findall(r"<th class='number'>([^<]*)</th>", section(html, family))
        assert words[: len(SETS)] == list(SETS)
    speed = section(html, "Speed")
    assert "<summary>4 rows of these plots as a table</summary>" in speed
    assert re.findall(r"<small class='label'>([^<]*)</small>", speed) == [
        f"{who}, batch {batch}" for who in ("onnx", "torch") for batch in (1, 4)
    ]


def test_the_page_loads_nothing_and_runs_nothing(html: str) -> None:
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    links = [value for name, value in page.attributes if name == "href"]
    anchors = {value for name, value in page.attributes if name == "id"}
    assert links
    assert {link.removeprefix("#") for link in links} <= anchors
    assert set(re.findall(r"https?://[^'\" ]+", html)) == {"http://www.w3.org/2000/svg"}  # a namespace, never fetched
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert "@import" not in html


def test_key_figures_of_the_system_under_test_stand_at_the_top(html: str) -> None:
    (top,) = re.findall(r"<dl class='figures'>.*?</dl>", html, flags=re.S)
    words = Page(top).words
    assert "0.83of the takes decode without repair[0.73, 0.93]" in words
    assert "0.50are in the key asked for[0.40, 0.60] n = 9" in words
    assert "music a second" not in words


def test_there_is_a_picture_of_the_best_median_and_worst_takes(html: str) -> None:
    part = section(html, "Takes")
    kinds = re.findall(r"<p class='over'>([^<]*) · rank", part)
    assert kinds == [*["best"] * 3, *["median"] * 3, *["worst"] * 3, "median of real", "median of random"]
    assert part.count("<svg xmlns=") == 11
    assert "prompt p00, take 0 · seed 100 · nano/p00-0.mid" in Page(part).words
    assert "<blockquote>a waltz, no. 0</blockquote>" in part


def test_a_take_without_a_file_that_can_be_read_has_a_line_in_place_of_a_picture(tmp_path: Path) -> None:
    (tmp_path / "text.mid").write_text("no music")
    reasons = {
        ("text.mid", None): "text.mid",
        ("gone.mid", None): "gone.mid cannot be read",
        (".", None): ". cannot be read",
        ("a\x00b", None): "a b is no name of a file",
        ("../secret.mid", None): "../secret.mid lies outside",
        ("/dev/zero", None): "/dev/zero lies outside",
        (None, "it | broke"): "it | broke",
        (None, None): "nothing was delivered",
    }
    for (file, error), reason in reasons.items():
        take = TakeLine(prompt="p", text="t", number=0, file=file, error=error, rank=0.5)
        part = section(report_html(Report(sets=(SetReport(name="a", takes=(take,)),)), tmp_path), "Takes")
        (said,) = re.findall(r"<p class='missing'>No picture: ([^<]*)</p>", part)
        assert said.startswith(reason)
        assert "<svg" not in part
        assert str(tmp_path) not in part


def test_a_long_piece_is_drawn_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "long.mid").write_bytes(to_midi_bytes(make_score(1, bars=900)))
    take = TakeLine(prompt="p", text="t", number=0, file="long.mid", rank=0.5)
    part = section(report_html(Report(sets=(SetReport(name="a", takes=(take,)),)), tmp_path), "Takes")
    assert re.search(r"first \d+ of 1756 s", part)
    assert part.count("<rect") < 1400


def test_a_plot_has_a_line_for_each_set_and_the_estimator(html: str) -> None:
    (drawing,) = re.findall(
        r"<svg class='plot'[^>]*aria-label='control.key:.*?</svg>", section(html, "Control"), flags=re.S
    )
    root = ElementTree.fromstring(drawing)
    titles = [title.text for title in root.iter("title")]
    assert titles == [
        f"{name}: 0.{5 + place}0 [0.{4 + place}0, 0.{6 + place}0] n = 9" for place, name in enumerate(SETS)
    ]
    assert [text.text for text in root.iter("text")].count("estimator") == 1
    assert len(root.findall(".//circle")) == 3


def test_a_race_is_one_plot_and_a_metric_heard_by_two_ears_is_two(html: str) -> None:
    assert html.count("aria-label='speed.tokens_per_second:") == 1
    assert html.count("aria-label='audio.fad:") == 2


def test_what_is_no_number_is_a_dash_with_the_reason_and_no_plot(tmp_path: Path) -> None:
    results = (found(STRICT, 0.5), nothing(KEY, "nobody asked for a key"))
    page = report_html(Report(sets=(SetReport(name="a", results=results),)), tmp_path)
    part = section(page, "Control")
    assert f"<b>{NOTHING}</b><sup>1</sup>" in part
    assert "<li value='1'>nobody asked for a key</li>" in part
    assert "<svg" not in part


def test_runs_shared_with_training_pieces_are_listed(tmp_path: Path) -> None:
    line = CopyLine(prompt="p1", number=0, notes=41, varied=30, seconds=3.25, instrument=73, piece="op. 9", pieces=2)
    words = Page(report_html(Report(sets=(SetReport(name="a", copies=(line,)),)), tmp_path)).words
    assert "ap1Fluteop. 9203.24130" in words


def test_foreign_texts_cannot_break_out(tmp_path: Path) -> None:
    first = SetReport(
        name=EVIL,
        description={EVIL: EVIL},
        takes=(TakeLine(prompt=EVIL, text=EVIL, number=0, file=EVIL, error=EVIL, rank=0.5),),
        results=(nothing(STRICT, EVIL), found(KEY, 0.5, facts={EVIL: EVIL})),
        warnings=(EVIL,),
    )
    html = report_html(
        Report(sets=(first,), settings={EVIL: EVIL}, where={EVIL: EVIL}, command=EVIL, date=EVIL), tmp_path
    )
    page = Page(html)
    assert "script" not in page.tags
    assert page.words.count("<script>alert('x')</script>") >= 12
    assert "\x00" not in html
    assert "\u202e" not in html


def test_it_follows_the_readers_colours_and_prints(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "width=device-width" in html


def test_the_same_report_gives_the_same_page_wherever_it_lies(html: str, tmp_path: Path) -> None:
    assert report_html(make_report(tmp_path), tmp_path) == html
    assert str(tmp_path) not in html


def test_a_report_of_nothing_is_a_page(tmp_path: Path) -> None:
    words = Page(report_html(Report(sets=(SetReport(name="empty"),)), tmp_path)).words
    assert words.count("There are none.") == 3
    with pytest.raises(RequestError, match="no set of takes"):
        report_html(Report(sets=()), tmp_path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(report=REPORTS)
def test_any_report_gives_a_page_that_is_well_formed(report: Report, tmp_path: Path) -> None:
    html = report_html(report, tmp_path)
    html.encode("utf-8")
    page = Page(html)
    assert "script" not in page.tags
    for drawing in re.findall(r"<svg class='plot'.*?</svg>", html, flags=re.S):
        ElementTree.fromstring(drawing)
