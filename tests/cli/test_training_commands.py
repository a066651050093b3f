"""From a corpus to a piece with the commands of runs/nano.sh, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from data.corpora import write_corpus
from midi_llm.cli.main import main
from midi_llm.music.read import read_midi


def test_a_corpus_becomes_a_model_that_composes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, tokenizer, rows = str(write_corpus(tmp_path / "corpus")), str(tmp_path / "t.json"), str(tmp_path / "rows")
    assert (
        main(["data", "tokenizer", "--corpus", corpus, "--out", tokenizer, "--captions", "40", "--vocabulary", "512"])
        == 0
    )
    sizes = ["--rows", "4", "--length", "128", "--workers", "1"]
    assert main(["data", "rows", "--corpus", corpus, "--tokenizer", tokenizer, "--out", rows, *sizes]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["text_rows"] == 512
    stage, folder = tmp_path / "stage", tmp_path / "checkpoint"
    train = ["train", "tiny_cpu", "--rows", rows, "--validation", rows, "--out", str(stage), "--threads", "1"]
    assert main([*train, "--steps", "2", "--checkpoint", str(folder), "--tokenizer", tokenizer]) == 0
    assert main(["data", "attribution", "--corpus", corpus, "--out", str(folder / "ATTRIBUTION.md")]) == 0
    assert main(["export", str(folder), "--precision", "float32"]) == 0
    assert main(["a calm piece", "--model", str(folder), "--seconds", "2", "-q", "-o", str(tmp_path / "x.mid")]) == 0
    assert read_midi(tmp_path / "x.mid").note_count > 0
    assert len((stage / "logbook.jsonl").read_text().splitlines()) == 2


def test_rows_without_a_tokenizer_and_a_missing_corpus_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "rows", "--corpus", str(tmp_path), "--out", str(tmp_path / "r")]) == 2
    assert "need the tokenizer.json" in capsys.readouterr().err
    assert main(["data", "tokenizer", "--corpus", str(tmp_path), "--out", str(tmp_path / "t.json")]) == 2
    assert "corpus.zip is missing" in capsys.readouterr().err
