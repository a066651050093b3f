"""The studio's packages and pages for its tests: made where they are missing or old, once for all test processes.

Out: the programs run; or the test is skipped, with what is missing and how to get it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
LOCK = WEB / "package-lock.json"
PACKAGES = WEB / "node_modules" / ".package-lock.json"
"""npm writes it last."""
PROGRAMS = WEB / "node_modules" / ".bin"
PAGE = ROOT / "src" / "midi_llm" / "server" / "studio" / "index.html"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|ENOTCACHED")
FEW_TRIES = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000")
"""A machine without a network is not waited for."""
INSTALL_SECONDS = 300
RUN_SECONDS = 240


def run(program: str, *arguments: str, **environment: str) -> None:
    """Run one of the programs that the studio's packages bring; what it printed is the failure's text."""
    code, printed = _run(str(PROGRAMS / program), *arguments, seconds=RUN_SECONDS, environment=environment)
    assert code == 0, printed[-6000:]


def need_packages() -> None:
    """Install what package-lock.json names; skip the test where that cannot be done."""
    if missing := _missing_node() or _missing_packages():
        pytest.skip(missing)


def need_pages() -> str:
    """Build the pages; the path of the browser to look at them with. Skip the test where there is none."""
    need_packages()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None:
        pytest.skip("the studio's browser tests need Chromium: apt-get install chromium, or CHROMIUM=/path/to/it")
    sources = [LOCK, WEB / "index.html", WEB / "vite.config.ts", *(WEB / "src").rglob("*")]
    with _alone():
        if not _is_newer(PAGE, sources):
            run("vite", "build")
    return chromium


def _missing_node() -> str:
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["engines"]["node"]
    get = f"the studio's tests need Node {wanted} and npm (https://nodejs.org)"
    if shutil.which("npm") is None or shutil.which("node") is None:
        return f"{get}; not found"
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    least, have = ([int(number) for number in re.findall(r"\d+", text)] for text in (wanted, found))
    return "" if have >= least else f"{get}; found {found}"


@cache
def _missing_packages() -> str:
    """Install them; why that cannot be done is found out once."""
    with _alone():
        if _is_newer(PACKAGES, [LOCK]):
            return ""
        code, printed = _run("npm", "ci", "--no-audit", "--no-fund", *FEW_TRIES, seconds=INSTALL_SECONDS)
    if code != 0 and UNREACHABLE.search(printed):
        return "the studio's packages are not installed and npm's registry is not reached; once: make studio"
    assert code == 0, printed[-6000:]
    return ""


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time."""
    with LOCK.open(encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _is_newer(made: Path, sources: list[Path]) -> bool:
    return made.exists() and made.stat().st_mtime >= max(source.stat().st_mtime for source in sources)


def _run(*command: str, seconds: float, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit code, and what was printed. Nothing that it started goes on after it, or after so many seconds."""
    with subprocess.Popen(
        command,
        cwd=WEB,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, printed
