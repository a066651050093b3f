"""The studio by itself: its units, and its pages in a browser against the stand-in. Its types: `make check`."""

from __future__ import annotations

from studio_pages import WEB, need_packages, need_pages, run


def test_its_units() -> None:
    need_packages()
    run("tsx", "--test", *map(str, sorted(WEB.glob("tests/unit/*.test.ts"))))


def test_in_a_browser() -> None:
    """The whole way (flow.test.ts) is gone on the real service, in test_studio_browser.py."""
    chromium = need_pages()
    run("tsx", "--test", "tests/browser/studio.test.ts", CHROMIUM=chromium)
