"""The studio in a browser, on the real service with the bundled model."""

from __future__ import annotations

from pathlib import Path

from program import serving_program
from studio_pages import need_pages, run


def test_compose_listen_infill_undo_download(tmp_path: Path) -> None:
    chromium = need_pages()
    with serving_program(tmp_path) as (_, url):
        run("tsx", "--test", "tests/browser/flow.test.ts", STUDIO_URL=url, CHROMIUM=chromium)
