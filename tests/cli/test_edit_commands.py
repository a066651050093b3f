"""continue, infill, accompany, replace, vary: files in, files out, and what bad input gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midi_llm.music.read import read_midi
from midi_llm.music.score import Score
from midi_llm.music.write import write_midi

COMMANDS = {
    "continue": (["--seconds", "2"], "continued"),
    "infill": (["--bars", "2"], "infilled"),
    "accompany": (["--instruments", "bass"], "accompanied"),
    "replace": (["--instrument", "piano", "--with", "flute"], "replaced"),
    "vary": (["--strength", "0.9"], "varied"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_a_new_file_and_leaves_the_old_one(midi_llm, model, song, command) -> None:
    options, verb = COMMANDS[command]
    before = song.read_bytes()
    result = midi_llm(command, song, *options, "--seed", 4, "--model", model, "--prompt", "a tune")
    assert result.code == 0, result.err
    assert result.out.strip() == f"song-{verb}-4.mid"
    assert read_midi(result.out.strip()).note_count > 0
    assert song.read_bytes() == before
    for word in ("composed", "prompt       a tune", "seed         4", "time taken"):
        assert word in result.err


def test_json_says_what_was_done(midi_llm, model, song) -> None:
    result = midi_llm("infill", song, "--bars", "1-2", "--seed", 1, "--takes", 2, "--json", "--model", model)
    takes = json.loads(result.out)["takes"]
    assert [take["seed"] for take in takes] == [1, 2]
    for take in takes:
        assert take["notes_removed"] == 12
        assert read_midi(take["path"]).note_count == take["notes_added"]


def test_bad_input_is_one_line(midi_llm, model, song, tmp_path) -> None:
    empty = tmp_path / "empty.mid"
    write_midi(Score(), empty)
    for argv, said in (
        (("infill", song, "--bars", "9"), "has bars 1 to 2"),
        (("infill", song, "--bars", "x"), "write a range such as 9-12"),
        (("infill", song, "--bars", "2-1"), "bars 2-1"),
        (("infill", song), "--bars"),
        (("accompany", song, "--instruments", "theremin"), "no instrument is called 'theremin'"),
        (("accompany", empty, "--instruments", "bass"), "has no notes"),
        (("replace", song, "--instrument", "tuba"), "it has Acoustic Grand Piano, Drums"),
        (("vary", song, "--strength", "2"), "strength is 2"),
        (("continue", song, "--seconds", "0"), "seconds is 0"),
        (
            (
                "continue",
                tmp_path / "none.mid",
            ),
            "cannot be read",
        ),
        (("continue", song, "--scale", "H"), "no scale is called 'H'"),
        (("continue", song, "-o", song), "exists"),
    ):
        result = midi_llm(*argv, "--model", model)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("midi-llm: error: ")
        assert result.err.count("\n") == 1
        assert said in result.err, result.err
    assert Path(song).is_file()
