"""From a corpus to a piece with the commands of runs/nano.sh, in miniature."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from data.corpora import TINY, write_corpus
from midi_llm.cli.main import main
from midi_llm.music.read import read_midi


def test_a_corpus_becomes_a_model_that_composes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, dataset = f"corpus:{write_corpus(tmp_path / 'corpus')}", tmp_path / "dataset"
    sizes = ["--vocabulary", "512", "--captions", "40", "--workers", "1"]
    sizes += [word for change in (*TINY, "stage1.rows=0") for word in ("--set", change)]
    assert main(["data", "build", "--source", corpus, "--out", str(dataset), *sizes]) == 0
    assert capsys.readouterr().out == f"{dataset / 'card.html'}\n"
    rows, stage, folder = dataset / "rows" / "short", tmp_path / "stage", tmp_path / "checkpoint"
    train = ["train", "tiny_cpu", "--rows", str(rows / "train"), "--validation", str(rows / "valid")]
    train += ["--out", str(stage), "--threads", "1", "--steps", "2"]
    assert main([*train, "--checkpoint", str(folder), "--tokenizer", str(dataset / "tokenizer.json")]) == 0
    assert main(["export", str(folder), "--precision", "float32"]) == 0
    assert main(["a calm piece", "--model", str(folder), "--seconds", "2", "-q", "-o", str(tmp_path / "x.mid")]) == 0
    assert read_midi(tmp_path / "x.mid").note_count > 0
    assert len((stage / "logbook.jsonl").read_text().splitlines()) == 2


def test_rows_that_are_not_there_or_not_finished_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = str(tmp_path / "rows")
    train = ["train", "tiny_cpu", "--rows", rows, "--validation", rows, "--out", str(tmp_path / "stage")]
    assert main(train) == 2
    assert "shards.json is missing; run the build again" in capsys.readouterr().err
    assert main([*train, "--checkpoint", str(tmp_path / "c")]) == 2
    assert "a checkpoint needs the tokenizer.json of its rows" in capsys.readouterr().err
