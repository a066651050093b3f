"""The README's commands and its Python run, the pages made from code are up to date, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

import midi_llm
from midi_llm.cli.arguments import COMMANDS, PROGRAM, parse
from midi_llm.cli.reference import reference
from midi_llm.errors import CheckpointError
from midi_llm.model.catalog import resolve_model
from midi_llm.model.export_onnx import export_onnx

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
SHELL = [shlex.split(line, comments=True) for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("argv", [argv[1:] for argv in SHELL if argv[:1] == [PROGRAM]], ids=shlex.join)
def test_a_command_of_the_readme_is_understood(argv: list[str]) -> None:
    command, args = parse(argv)
    assert command in COMMANDS
    assert args is not None


def test_the_readme_shows_commands_and_python() -> None:
    assert sum(argv[:1] == [PROGRAM] for argv in SHELL) >= 5
    assert sum(kind == "python" for kind, _ in BLOCKS) >= 1


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {argv[1] for argv in SHELL if argv[:1] == ["make"]}
    assert {"compose", "test", "check"} <= named <= targets


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_the_python_of_the_readme_runs(
    code: str,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        resolve_model("nano")
    except CheckpointError:  # the bundled model is made by training; without it a random one stands in
        folder = shutil.copytree(tiny_checkpoint, tmp_path / "tiny")
        export_onnx(folder, precision="float32")
        code = code.replace("seed=1)", f"seed=1, model={str(folder)!r})")
    exec(compile(code, "README.md", "exec"), {})
    assert midi_llm.read_midi(tmp_path / "calm.mid").note_count > 0
    assert "Note(" in capsys.readouterr().out


def test_the_command_line_page_is_made_from_the_parsers() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
