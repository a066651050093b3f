"""`tokens`, `roll`, `models`, `export`, `--help`, `--version`, and the process as a whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import midi_llm as package
from midi_llm.cli.arguments import COMMANDS
from midi_llm.cli.tokens import from_text, to_text
from midi_llm.music.read import read_midi
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.tokens.codec import quantize


def fails_in_one_line(result, *words: str) -> bool:
    return result.code == 2 and result.out == "" and result.err.count("\n") == 1 and all(w in result.err for w in words)


def test_tokens_shows_one_event_a_line(midi_llm, song: Path) -> None:
    result = midi_llm("tokens", song)
    assert result.code == 0
    assert result.out.count("C4") == 1
    assert len([line for line in result.out.splitlines() if line and not line.startswith("#")]) == 12


def test_tokens_and_back_gives_the_same_events(midi_llm, song: Path) -> None:
    assert midi_llm("tokens", song, "-o", "song.txt").out.strip() == "song.txt"
    assert midi_llm("tokens", "song.txt", "-o", "again.mid").out.strip() == "again.mid"
    assert (quantize(read_midi("again.mid")) == quantize(read_midi(song))).all()


def test_a_score_of_several_windows_survives_the_way_through_text() -> None:
    notes = note_array([Note(time=float(t), duration=0.5, pitch=60) for t in (0, 99, 100, 250)])
    text = to_text(Score(tracks=(Track(program=4, notes=notes),)))
    assert text.count("# from") == 3
    assert quantize(from_text(text))[:, 0].tolist() == [0, 9_900, 10_000, 25_000]


def test_tokens_never_overwrites_silently(midi_llm, song: Path) -> None:
    Path("song.txt").write_text("mine")
    assert fails_in_one_line(midi_llm("tokens", song, "-o", "song.txt"), "exists", "--force")
    assert Path("song.txt").read_text() == "mine"


def test_a_broken_line_of_a_text_is_named(midi_llm, song: Path) -> None:
    midi_llm("tokens", song, "-o", "song.txt")
    lines = Path("song.txt").read_text().splitlines()
    Path("song.txt").write_text("\n".join([*lines[:-1], "what is this"]))
    assert fails_in_one_line(midi_llm("tokens", "song.txt", "-o", "x.mid"), f"line {len(lines)}")
    assert not Path("x.mid").exists()


def test_text_to_midi_needs_a_place(midi_llm, song: Path) -> None:
    midi_llm("tokens", song, "-o", "song.txt")
    assert fails_in_one_line(midi_llm("tokens", "song.txt"), "-o")


@pytest.mark.parametrize("command", ["tokens", "roll"])
@pytest.mark.parametrize(
    "content", [b"", b"these are words, not music\n", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\1\0\0\x90"]
)
def test_a_file_that_is_not_midi_fails_in_one_line(midi_llm, command: str, content: bytes) -> None:
    Path("bad.mid").write_bytes(content)
    assert fails_in_one_line(midi_llm(command, "bad.mid"), "bad.mid")


@pytest.mark.parametrize("command", ["tokens", "roll"])
def test_a_missing_file_fails_in_one_line(midi_llm, command: str) -> None:
    assert fails_in_one_line(midi_llm(command, "nowhere.mid"), "nowhere.mid")


def test_roll_draws_svg_to_stdout_or_a_file(midi_llm, song: Path) -> None:
    drawn = midi_llm("roll", song, "--title", "Song").out
    assert drawn.lstrip().startswith("<svg")
    assert "Song" in drawn
    assert midi_llm("roll", song, "--title", "Song", "-o", "song.svg").out.strip() == "song.svg"
    assert Path("song.svg").read_text(encoding="utf-8").strip() == drawn.strip()


def test_models_lists_the_bundled_and_the_published_model(midi_llm) -> None:
    listed = midi_llm("models").out
    assert "nano" in listed
    assert "midi-llm-1b" in listed
    assert {entry["name"] for entry in json.loads(midi_llm("models", "--json").out)["models"]} == {
        "nano",
        "midi-llm-1b",
    }


def test_export_writes_the_onnx_folder(midi_llm, tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    result = midi_llm("export", folder, "--precision", "float32")
    assert result.code == 0
    assert (Path(result.out.strip()) / "meta.json").is_file()


def test_export_writes_a_gguf_file(midi_llm, tiny_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the extra 'gguf' is not installed")
    result = midi_llm("export", tiny_checkpoint, "--format", "gguf", "--precision", "f16", "-o", "a.gguf")
    assert (result.code, result.out) == (0, "a.gguf\n")
    assert (tmp_path / "a.gguf").read_bytes()[:4] == b"GGUF"
    result = midi_llm("export", tiny_checkpoint, "--format", "gguf", "--precision", "int4")
    assert result.code == 2
    assert "allowed is f32, f16, bf16, q8_0" in result.err


def test_export_of_a_folder_without_a_model_fails_in_one_line(midi_llm, tmp_path: Path) -> None:
    result = midi_llm("export", tmp_path)
    assert result.code == 2
    assert "config.json" in result.err


def test_help_lists_every_command(midi_llm) -> None:
    result = midi_llm("--help")
    assert result.code == 0
    assert all(f"midi-llm {name}" in result.out for name in COMMANDS)


def test_version_is_the_packages(midi_llm) -> None:
    assert midi_llm("--version").out == f"midi-llm {package.__version__}\n"


def test_the_module_runs_as_a_process_and_fails_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "midi_llm", "tokens", "none.mid"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("midi-llm: error: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path) -> None:
    notes = note_array([Note(time=t / 100, duration=0.1, pitch=60) for t in range(9_000)])
    package.write_midi(Score(tracks=(Track(notes=notes),)), tmp_path / "long.mid")
    command = [sys.executable, "-m", "midi_llm", "tokens", "long.mid"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors == b""
