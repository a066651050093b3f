"""`midi-llm "prompt"`: what it writes, what it says, and what bad input gets."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import mido
import pytest

from midi_llm.cli.files import free_path, plan_takes, save_somewhere, slug
from midi_llm.cli.progress import Bar
from midi_llm.errors import OutputError
from midi_llm.music.read import read_midi

TEXT = "A calm piano piece"


def assert_one_line_failure(result, *words: str) -> None:
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("midi-llm: error: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def test_a_prompt_becomes_a_midi_file_named_after_it(midi_llm, model) -> None:
    result = midi_llm(TEXT, "--seconds", 3, "--seed", 5, "--model", model)
    assert result.code == 0
    path = Path(result.out.strip())
    assert path == Path("a-calm-piano-piece-5.mid")
    assert read_midi(path).note_count > 0
    for word in ("instruments", "length", "tempo", "seed         5", "time taken", "RTF"):
        assert word in result.err


def test_a_default_name_that_is_taken_gets_a_number(midi_llm, model) -> None:
    argv = (TEXT, "--seconds", 2, "--seed", 5, "--model", model, "-q")
    first, second = midi_llm(*argv), midi_llm(*argv)
    assert second.out.strip() == "a-calm-piano-piece-5-2.mid"
    assert Path(first.out.strip()).read_bytes() == Path(second.out.strip()).read_bytes()
    assert second.err == ""


def test_several_takes_go_to_a_folder_with_one_file_per_seed(midi_llm, model) -> None:
    result = midi_llm(TEXT, "--seconds", 2, "--seed", 7, "--takes", 3, "-o", "new/folder", "--model", model)
    names = [f"new/folder/a-calm-piano-piece-{seed}.mid" for seed in (7, 8, 9)]
    assert result.out.splitlines() == names
    assert all(Path(name).is_file() for name in names)


def test_json_describes_every_take(midi_llm, model) -> None:
    result = midi_llm(TEXT, "--seconds", 2, "--seed", 3, "--json", "--model", model)
    (take,) = json.loads(result.out)["takes"]
    assert take["seed"] == 3
    assert read_midi(take["path"]).note_count == take["notes"]


def test_sections_are_markers_of_the_file_and_findings(midi_llm, model) -> None:
    result = midi_llm(TEXT, "--sections", "intro 20, verse 1", "--tempo", 60, "--seed", 5, "--model", model, "--json")
    assert result.code == 0
    (take,) = json.loads(result.out)["takes"]
    assert [wish["asked"] for wish in take["wishes"] if wish["wish"] == "section"] == ["intro 20", "verse 1"]
    markers = [message for message in mido.MidiFile(take["path"]).tracks[0] if message.type == "marker"]
    assert [marker.text for marker in markers] == ["intro", "verse"]


def test_sections_and_seconds_fail_in_one_line(midi_llm, model) -> None:
    result = midi_llm(TEXT, "--model", model, "--sections", "verse 2", "--seconds", 9)
    assert_one_line_failure(result, "seconds and sections are both asked for")


def test_compose_spelled_out_takes_a_prompt_that_equals_a_command(midi_llm, model) -> None:
    result = midi_llm("compose", "models", "--seconds", 2, "--seed", 1, "--model", model)
    assert result.out.strip() == "models-1.mid"


def test_an_existing_file_is_only_overwritten_with_force(midi_llm, model) -> None:
    Path("keep.mid").write_bytes(b"precious")
    argv = (TEXT, "--seconds", 2, "-o", "keep.mid", "--model", model)
    assert_one_line_failure(midi_llm(*argv), "exists", "--force")
    assert Path("keep.mid").read_bytes() == b"precious"
    assert midi_llm(*argv, "--force").code == 0
    assert read_midi("keep.mid").note_count > 0


@pytest.mark.parametrize("prompt", ["", "   \n"])
def test_an_empty_prompt_fails_in_one_line(midi_llm, model, prompt: str) -> None:
    assert_one_line_failure(midi_llm(prompt, "--model", model), "empty")


def test_a_prompt_over_the_context_fails_in_one_line(midi_llm, model) -> None:
    assert_one_line_failure(midi_llm("very loud " * 500, "--model", model), "tokens", "shorten")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--seconds", "0", "1 to 600"),
        ("--seconds", "-1", "1 to 600"),
        ("--seconds", "1e9", "1 to 600"),
        ("--seconds", "nan", "1 to 600"),
        ("--seconds", "soon", "auto"),
        ("--takes", "0", "1 to 64"),
        ("--takes", "many", "--takes"),
        ("--seed", "-3", "0 to"),
        ("--temperature", "-1", "0 (greedy) to 10"),
        ("--quantise", "1.5", "0 (as played) to 1"),
        ("--top-p", "0", "at most 1"),
        ("--model", "nonsuch", "nonsuch"),
        ("--engine", "steam", "auto, onnx, torch"),
        ("--tempoo", "3", "--tempoo"),
        ("--sections", "verse x", "'verse x' is no section"),
        ("--sections", "verse 0", "has 0 bars"),
        ("--sections", "verse 400", "at most 600 s"),
    ],
)
def test_a_bad_option_fails_in_one_line(midi_llm, model, option: str, value: str, word: str) -> None:
    assert_one_line_failure(midi_llm(TEXT, "--model", model, f"{option}={value}"), word)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("output", ["missing/x.mid", "plain/x.mid", "plain", "/proc/x.mid", "/proc/nowhere"])
def test_an_output_that_cannot_be_written_fails_before_composing(midi_llm, model, output: str) -> None:
    Path("plain").write_text("a file, not a folder")
    assert_one_line_failure(
        midi_llm(TEXT, "-o", output, "--model", model), output.split("/")[1 if output[0] == "/" else 0]
    )


def test_one_file_name_for_several_takes_fails_in_one_line(midi_llm, model) -> None:
    assert_one_line_failure(midi_llm(TEXT, "--takes", 2, "-o", "x.mid", "--model", model), "folder")


def test_no_prompt_at_all_fails_in_one_line(midi_llm) -> None:
    assert_one_line_failure(midi_llm(), "PROMPT", "--help")


def test_a_checkpoint_with_a_missing_tensor_file_fails_in_one_line(midi_llm, model, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((Path(model) / "config.json").read_bytes())
    assert_one_line_failure(midi_llm(TEXT, "--model", broken), "safetensors", "tokenizer.json")


def interrupt_at_the_first_note(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Bar.update

    def update_and_interrupt(bar, progress) -> None:
        update(bar, progress)
        if progress.notes == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Bar, "update", update_and_interrupt)


def test_ctrl_c_writes_nothing(midi_llm, model, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at_the_first_note(monkeypatch)
    result = midi_llm(TEXT, "--seconds", 90, "--seed", 1, "--model", model)
    assert result.code == 130
    assert result.out == ""
    assert "nothing was written" in result.err
    assert list(Path().iterdir()) == []


def test_ctrl_c_with_keep_partial_saves_what_there_is(midi_llm, model, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at_the_first_note(monkeypatch)
    result = midi_llm(TEXT, "--seconds", 90, "--seed", 1, "--model", model, "--keep-partial")
    assert result.code == 130
    assert read_midi(result.out.strip()).note_count >= 1
    # the engine works ahead, and may have come to the end
    assert "notes, stopped: partial" in result.err or "notes, at the length asked for" in result.err


def test_ctrl_c_leaves_the_signal_handler_as_it_was(midi_llm, model, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupt_at_the_first_note(monkeypatch)
    midi_llm(TEXT, "--seconds", 90, "--model", model, "--seed", 1)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A calm, slow piece!", "a-calm-slow-piece"),
        ("Café à la crème", "cafe-a-la-creme"),
        ("静かな曲", "piece"),
        ("../../etc/passwd", "etc-passwd"),
        ("x" * 99, "x" * 40),
    ],
)
def test_a_slug_is_a_safe_file_name(text: str, name: str) -> None:
    assert slug(text) == name


def test_a_free_path_counts_up(tmp_path: Path) -> None:
    for name in ("x.mid", "x-2.mid"):
        (tmp_path / name).touch()
    assert free_path(tmp_path / "x.mid") == tmp_path / "x-3.mid"


def test_takes_of_a_forced_run_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "x-1.mid").touch()
    assert plan_takes(str(tmp_path), name="x", seeds=[1], force=True) == [tmp_path / "x-1.mid"]
    assert plan_takes(str(tmp_path), name="x", seeds=[1], force=False) == [tmp_path / "x-1-2.mid"]


def test_a_piece_whose_place_vanished_is_saved_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def save(path: Path) -> None:
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} is gone")
        path.write_text("music")

    assert save_somewhere(save, tmp_path / "gone" / "x.mid") == tmp_path / "x.mid"
    with pytest.raises(OutputError):
        save_somewhere(lambda path: save(tmp_path / "gone" / path.name), tmp_path / "x.mid")
