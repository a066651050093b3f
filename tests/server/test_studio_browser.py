"""The studio's own browser tests, where node, its packages and a Chromium are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
STUDIO = ROOT / "src" / "midi_llm" / "server" / "studio" / "index.html"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def _missing() -> str:
    if shutil.which("npm") is None:
        return "npm is not installed"
    if not (WEB / "node_modules" / "playwright-core").is_dir() or not STUDIO.exists():
        return "the studio is not built (make studio)"
    if not os.environ.get("CHROMIUM") and not any(map(shutil.which, CHROMIUMS)):
        return "no Chromium is installed"
    return ""


@pytest.mark.slow
@pytest.mark.skipif(bool(_missing()), reason=_missing() or "everything is there")
def test_compose_listen_infill_undo_download_in_a_browser() -> None:
    done = subprocess.run(
        ["npx", "tsx", "--test", "tests/browser/flow.test.ts"], cwd=WEB, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
