"""The studio by itself: its types, its units, and its pages in a browser against the stand-in."""

from __future__ import annotations

import pytest

from studio_pages import need_packages, need_pages, node_tests, run


def test_its_types_are_right() -> None:
    need_packages()
    run("tsc", "--noEmit")


def test_its_units() -> None:
    need_packages()
    run("tsx", "--test", *node_tests("unit"))


@pytest.mark.parametrize("name", node_tests("browser"))
def test_in_a_browser(name: str) -> None:
    chromium = need_pages()
    run("tsx", "--test", name, CHROMIUM=chromium)
