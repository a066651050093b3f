"""`midi-llm bench`: what it measures is real, what cannot run is said, what is stopped is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midi_llm.evaluate.contenders import EngineContender, PacedGrammar, Run

BENCH = ("bench", "-q", "--takes", "1,3")


def rows_of(out: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(out)["rows"]
    return found


def test_rows_are_of_real_takes_whose_ids_are_counted_exactly(midi_llm, model, monkeypatch) -> None:
    drawn: list[int] = []
    accept = PacedGrammar.accept
    monkeypatch.setattr(PacedGrammar, "accept", lambda self, token_id: drawn.append(token_id) or accept(self, token_id))
    result = midi_llm(*BENCH, "--engine", "onnx", "--ids", 20, "--model", model, "--json")
    assert result.code == 0
    assert result.err == ""
    report = json.loads(result.out)
    assert [(row["engine"], row["takes"], row["rounds"]) for row in report["rows"]] == [("onnx", 1, 3), ("onnx", 3, 3)]
    ids = report["rows"][0]["ids"]
    assert 18 <= ids <= 20
    assert len(drawn) == ids * (1 + 3 * (1 + 3))  # a first take, then three rounds of one take and of three
    for row in report["rows"]:
        assert row["number_format"] == "float32"
        assert 0 < row["least_seconds"] <= row["seconds"] <= row["most_seconds"]
        assert 0 < row["first_note_seconds"] < row["most_seconds"]
        assert row["ids_per_second"] == pytest.approx(row["takes"] * ids / row["seconds"])
        assert min(row["rtf"], row["opening_seconds"]) > 0
    assert report["cannot_run"] == []
    assert {"processor", "cores", "load", "python"} <= report["machine"].keys()
    assert {"midi-llm", "numpy", "onnxruntime"} <= report["versions"].keys()
    assert report["parameters"] > 0


def test_every_engine_has_rows_or_a_reason(midi_llm, tiny_checkpoint: Path) -> None:
    result = midi_llm("bench", "--takes", "1", "--ids", 8, "--model", tiny_checkpoint, "--json")
    report = json.loads(result.out)
    reasons = {absent["engine"]: absent["reason"] for absent in report["cannot_run"]}
    assert {row["engine"] for row in report["rows"]} | reasons.keys() == {"onnx", "torch", "vllm"}
    assert {row["engine"] for row in report["rows"]} & reasons.keys() == set()
    assert "midi-llm export" in reasons["onnx"]


def test_the_table_names_engine_machine_and_who_cannot_run(midi_llm, tiny_checkpoint: Path) -> None:
    result = midi_llm(*BENCH, "--engine", "torch,onnx", "--ids", 8, "--model", tiny_checkpoint, "-o", "bench.md")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[:4]] == [
        "engine",
        "-" * len(" torch float32 "),
        "torch float32",
        "torch float32",
    ]
    assert any(line.startswith("onnx cannot run here: ") and "midi-llm export" in line for line in lines)
    assert "cores" in lines[-1]
    assert "torch 2" in lines[-1]
    assert Path("bench.md").read_text(encoding="utf-8") == result.out


def test_auto_measures_the_engine_that_composing_takes(midi_llm, model, monkeypatch) -> None:
    monkeypatch.setattr("midi_llm.engines.choice.find_device", lambda: None)
    result = midi_llm("bench", "-q", "--takes", "1", "--ids", 8, "--engine", "auto", "--model", model, "--json")
    assert [row["engine"] for row in rows_of(result.out)] == ["onnx"]


def test_ctrl_c_shows_the_rows_that_are_finished(midi_llm, model, monkeypatch) -> None:
    run, count = EngineContender.run, iter(range(100))

    def stopping(self: EngineContender, *, batch: int, seed: int) -> Run:
        if next(count) == 2:  # the first take, one lap, then this
            raise KeyboardInterrupt
        return run(self, batch=batch, seed=seed)

    monkeypatch.setattr(EngineContender, "run", stopping)
    result = midi_llm(*BENCH, "--engine", "onnx", "--ids", 8, "--model", model, "--json")
    assert result.code == 130
    assert json.loads(result.out)["stopped"] is True
    assert [(row["takes"], row["rounds"]) for row in rows_of(result.out)] == [(1, 1)]


def test_ctrl_c_before_any_row_is_plain(midi_llm, model, monkeypatch) -> None:
    def stopping(self: EngineContender, *, batch: int, seed: int) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(EngineContender, "run", stopping)
    result = midi_llm(*BENCH, "--engine", "onnx", "--ids", 8, "--model", model)
    assert (result.code, result.out, result.err) == (130, "", "midi-llm: stopped\n")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--takes", "1,none"), "--takes is '1,none'; expected numbers of takes from 1 to 64"),
        (("--takes", "0"), "--takes is '0'"),
        (("--ids", "3"), "--ids is 3; allowed is 4 to "),
        (("--ids", "100000"), "--ids is 100000; allowed is 4 to "),
        (("--engine", "onnx,gpu"), "--engine is 'onnx,gpu'; expected all, auto, or some of onnx, torch, vllm"),
        (("--engine", ""), "--engine is ''"),
        (("-o", "no/such/folder/x.md"), "no/such/folder"),
        (("--model", "nowhere"), "no model 'nowhere'"),
    ],
)
def test_a_bad_value_is_one_line_before_anything_is_opened(midi_llm, model, argv, words) -> None:
    result = midi_llm(*BENCH, "--model", model, *argv)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert words in result.err


def test_when_no_engine_can_run_the_reasons_are_told(midi_llm, tiny_checkpoint: Path) -> None:
    result = midi_llm(*BENCH, "--engine", "onnx", "--ids", 8, "--model", tiny_checkpoint)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "no engine can run" in result.err
    assert "midi-llm export" in result.err
