"""From a corpus to a piece with the commands of runs/nano.sh, in miniature."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from data.corpora import TINY, make_score, write_corpus
from midi_llm.cli.main import main
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.model.tiny import write_tiny_checkpoint
from midi_llm.music.read import read_midi
from midi_llm.music.write import to_midi_bytes


def test_a_corpus_becomes_a_model_that_composes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, dataset = f"corpus:{write_corpus(tmp_path / 'corpus')}", tmp_path / "dataset"
    sizes = ["--vocabulary", "512", "--captions", "40", "--workers", "1"]
    sizes += [word for change in (*TINY, "stage1.rows=0") for word in ("--set", change)]
    assert main(["data", "build", "--source", corpus, "--out", str(dataset), *sizes]) == 0
    assert capsys.readouterr().out == f"{dataset / 'card.html'}\n"
    stage, folder = tmp_path / "stage", tmp_path / "checkpoint"
    train = ["train", "tiny_cpu", "--data", str(dataset), "--out", str(stage), "--threads", "1", "--set", "steps=2"]
    train += ["--set", "sample_every=2", "--sample", "a calm piece"]
    assert main([*train, "--checkpoint", str(folder)]) == 0
    assert capsys.readouterr().out == f"{stage}\n{folder}\n"
    assert read_midi(stage / "samples" / "00000002.mid").note_count > 0
    assert (stage / "samples" / "00000002.svg").read_text(encoding="utf-8").startswith("<svg")
    assert main(["export", str(folder), "--precision", "float32"]) == 0
    assert main(["a calm piece", "--model", str(folder), "--seconds", "2", "-q", "-o", str(tmp_path / "x.mid")]) == 0
    assert read_midi(tmp_path / "x.mid").note_count > 0
    assert len((stage / "logbook.jsonl").read_text().splitlines()) == 2


def test_a_mistake_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = str(tmp_path / "data"), str(tmp_path / "stage")
    for words, message in (
        (["nano"], "recipes are stage1_1b, stage2_1b"),
        (["tiny_cpu", "--set", "optim.rate=1"], "there is no 'rate'; settings here are lr"),
        (["tiny_cpu", "--resume"], "holds no state to resume"),
        (["tiny_cpu", "--sample", "a waltz"], "add --set sample_every=100"),
        (["tiny_cpu"], "manifest"),
    ):
        assert main(["train", *words, "--data", data, "--out", out]) == 2
        assert message in capsys.readouterr().err


def test_a_model_learns_from_a_folder_of_midi_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    music, base = tmp_path / "music", write_tiny_checkpoint(tmp_path / "base", text_rows=258)
    music.mkdir()
    for seed in range(4):
        (music / f"{seed}.mid").write_bytes(to_midi_bytes(make_score(seed)))
    words = ["finetune", str(music), "--model", str(base), "--out", str(tmp_path / "out"), "--steps", "2"]
    words += ["--set", "batch_rows=2", "--set", "validation_rows=2"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out' / 'model'}\n"
    assert "bits per event" in said.err
    assert "before)" in said.err
    assert verify_checkpoint(tmp_path / "out" / "model").name == "music"
    assert main(words) == 0, "started again it is done at once"


def test_finetune_names_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert "is no folder; give one with MIDI files" in capsys.readouterr().err
