"""`midi-llm evaluate` from end to end on a tiny model, and its mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluate.built import write_dataset
from midi_llm.cli.main import main
from midi_llm.data.dataset import Dataset
from midi_llm.data.runs import build_runs
from midi_llm.evaluate.record import read_report

SETS = ["tiny-onnx", "real", "shuffled", "mismatched", "random"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "tunes"
    build_runs(write_dataset(folder, train=2, valid=3, test=3))
    return folder


@pytest.fixture(scope="module")
def finished(model: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over three prompts with everything beside it."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    code = main([*evaluate(model, out), "--data", str(data)])
    assert code == 0
    return out


def evaluate(model: str, out: Path, *more: object) -> list[str]:
    few = ["--limit", "3", "--seconds", "12", "--workers", "1", "--quiet"]
    return ["evaluate", "--model", model, "--out", str(out), *few, *map(str, more)]


def test_a_run_leaves_takes_results_and_two_reports(finished: Path, data: Path) -> None:
    report = read_report(finished)
    assert [one.name for one in report.sets] == SETS
    assert all(len(one.takes) == 3 for one in report.sets)
    assert report.settings["data"] == Dataset(data).manifest_sha256
    first = report.sets[0]
    assert first.description["model"]
    assert len(str(first.description["weights"])) == 64
    strict = first.result("validity.strict")
    assert strict is not None
    assert strict.value == 1.0
    for name in ("control.instruments_recall", "distribution.overlap", "memorisation.longest_run", "speed.take_rtf"):
        assert first.result(name) is not None
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") > 5
    for text in (page, (finished / "report.md").read_text(encoding="utf-8")):
        assert all(name in text for name in SETS)


def test_a_run_that_is_repeated_composes_nothing_and_finds_the_same(
    finished: Path, model: str, data: Path, midi_llm: Callable
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in finished.glob("*/*.mid")}
    results = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    done = midi_llm(*evaluate(model, finished, "--data", data))
    assert done.code == 0
    assert done.out.strip() == str(finished / "report.html")
    assert {path.name: path.stat().st_mtime_ns for path in finished.glob("*/*.mid")} == before
    again = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    assert again["sets"] == results["sets"]


def test_two_runs_are_compared(finished: Path, midi_llm: Callable, tmp_path: Path) -> None:
    same = midi_llm("evaluate", "compare", finished, finished)
    assert same.code == 0
    assert same.out.startswith("# A: tiny-onnx, B: tiny-onnx")
    assert "* A is better in 0: nothing" in same.out
    other = midi_llm("evaluate", "compare", finished, finished, "--set", "real", "random", "-o", tmp_path / "x.md")
    assert other.out.startswith("# A: real, B: random")
    assert (tmp_path / "x.md").read_text(encoding="utf-8") == other.out
    kept = midi_llm("evaluate", "compare", finished, finished, "-o", tmp_path / "x.md")
    assert (kept.code, kept.out) == (2, "")
    assert "--force" in kept.err
    unknown = midi_llm("evaluate", "compare", finished, finished, "--set", "real", "nobody")
    assert f"it has {', '.join(SETS)}" in unknown.err


def test_files_of_any_system_are_evaluated(finished: Path, midi_llm: Callable, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    lines = []
    for number, path in enumerate(sorted((finished / "real").glob("*.mid"))):
        (tmp_path / "files" / path.name).write_bytes(path.read_bytes())
        lines.append(json.dumps({"id": f"t{number}", "prompt": "a tune", "file": f"files/{path.name}"}))
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    done = midi_llm("evaluate", "--files", "list.jsonl", "--name", "theirs", "--out", "out", "--workers", 1, "-q")
    assert done.code == 0, done.err
    report = read_report(tmp_path / "out")
    assert [one.name for one in report.sets] == ["theirs", "random"]
    strict = report.sets[0].result("validity.strict")
    assert strict is not None
    assert strict.count == 0  # files do not say how they were decoded
    assert report.settings["seconds"] is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "--out is missing"),
        (("--out", "x", "--takes", "0"), "1 to 64 takes"),
        (("--out", "x", "--limit", "0"), "--limit is 0"),
        (("--out", "x", "--limit", "-2"), "--limit is -2"),
        (("--out", "x", "--seconds", "-3"), "seconds is -3; allowed is 1 to 600"),
        (("--out", "x", "--seconds", "nan"), "seconds is nan"),
        (("--out", "x", "--seed", "-1"), "seed is -1"),
        (("--out", "x", "--guidance", "99"), "guidance is 99"),
        (("--out", "x", "--temperature", "-1"), "temperature is -1"),
        (("--out", "x", "--no-grammar", "--seconds", "9"), "no length can be asked for"),
        (("--out", "x", "--beside", "angels"), "allowed are real, shuffled, mismatched, random"),
        (("--out", "x", "--beside", "real"), "--beside real needs real music; give a data set with --data DIR"),
        (("--out", "x", "--name", "real"), "choose another with --name"),
        (("--out", "x", "--files", "y", "--model", "nano"), "--model and --files were given"),
        (("--out", "x", "--files", "nowhere"), "nowhere is no folder"),
        (("--out", "x", "--prompts", "none.jsonl"), "none.jsonl cannot be read"),
        (("--out", "x", "--data", "nowhere"), "midi-llm data build"),
        (("--out", "x", "--seconds", "soon"), "--seconds"),
        (("--out", "x", "--workers", "-1"), "--workers is -1"),
        (("--out", "x", "--preset", "midi-llm-paper"), "--midicaps DIR"),
        (("--out", "x", "--preset", "midi-llm-paper"), "--ids FILE"),
        (("--out", "x", "--model", "nobody"), "no model 'nobody'"),
        (("--out", "x", "--files", "y", "--race"), "--race needs a model of this package"),
        (("--out", "x", "--race", "many"), "--race is 'many'; expected numbers of takes from 1 to 64"),
        (("compare", "a", "b"), "a cannot be read"),
        (("compare", "a"), "the following arguments are required: B"),
    ],
)
def test_a_mistake_is_one_clear_line(argv: tuple[str, ...], message: str, midi_llm: Callable, tmp_path: Path) -> None:
    done = midi_llm("evaluate", *argv)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_folder_of_another_run_is_not_touched(finished: Path, model: str, midi_llm: Callable) -> None:
    before = (finished / "results.json").read_bytes()
    done = midi_llm(*evaluate(model, finished, "--seed", 5))
    assert done.code == 2
    assert "seed was 0, is now 5" in done.err
    assert (finished / "results.json").read_bytes() == before
