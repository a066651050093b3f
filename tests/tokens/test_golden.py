"""The codec against the reference's own output: the files of tests/golden/amt, and a larger set when it is there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midi_llm.music.read import read_midi
from midi_llm.music.score import Score
from midi_llm.tokens.codec import Events, clip, decode, dequantize, encode, quantize
from midi_llm.tokens.controls import anticipate, split_controls
from midi_llm.tokens.rests import insert_rests, remove_rests
from midi_llm.tokens.salvage import salvage
from midi_llm.tokens.vocab import DUR_OFFSET, NOTE_OFFSET

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests" / "golden" / "amt"
LARGE = Path(os.environ.get("MIDI_LLM_GOLDEN_AMT", ROOT.parent / "shared" / "golden" / "amt"))
MELODIC_CHANNELS = [channel for channel in range(17) if channel != 9]

own_files = pytest.mark.parametrize("path", sorted(OWN.glob("*.mid")), ids=lambda path: path.stem)


def raw_events(ids: list[int]) -> Events:
    """Rows of triplets without any bound on time: the whole pieces are longer than a window."""
    rows = np.array(ids, np.int32).reshape(-1, 3)
    instrument, pitch = np.divmod(rows[:, 2] - NOTE_OFFSET, 128)
    return np.stack([rows[:, 0], rows[:, 1] - DUR_OFFSET, instrument, pitch], axis=1)


def messages_of(score: Score) -> list[list[int | str]]:
    """The note messages that AMT's writer makes of a score: channels by first appearance, notes in 10 ms ticks."""
    rows: list[list[int | str]] = []
    for index, track in enumerate(score.tracks):
        channel = 9 if track.is_drum else MELODIC_CHANNELS[index]
        program = 0 if track.is_drum else track.program
        for note in track.to_notes():
            start, stop = round(100 * note.time), round(100 * (note.time + note.duration))
            rows.append([start, "note_on", channel, program, note.pitch, note.velocity])
            rows.append([stop, "note_off", channel, program, note.pitch, 64])
    return rows


def assert_equal_to_reference(
    path: Path, golden: dict[str, Any], *, stop: int, clipped: list[int], rests: list[int], messages: list[Any]
) -> None:
    events = quantize(read_midi(path))
    assert np.array_equal(events, raw_events(golden["events"]))
    part = clip(events, 0, stop)
    assert encode(part).tolist() == clipped
    assert np.array_equal(decode(clipped), part)
    assert encode(insert_rests(part, stop)).tolist() == rests
    assert np.array_equal(remove_rests(decode(rests)), part)
    assert sorted(messages_of(dequantize(decode(rests)))) == sorted(messages)
    salvaged, report = salvage(rests)
    assert report.is_clean
    assert np.array_equal(salvaged, decode(rests))


def assert_controls_equal(clipped: list[int], stop: int, control_instruments: list[int], ids: list[int]) -> None:
    part = decode(clipped)
    is_control = np.isin(part[:, 2], control_instruments)
    events, controls = insert_rests(part[~is_control], stop), part[is_control]
    assert anticipate(events, controls).tolist() == ids
    split_events, split = split_controls(ids)
    assert np.array_equal(split_events, events)
    assert np.array_equal(split, controls)


@own_files
def test_own_files_give_what_the_reference_gives(path: Path) -> None:
    golden = json.loads(path.with_suffix(".json").read_text())
    stop = 100 * golden["clip_seconds"]
    assert_equal_to_reference(
        path, golden, stop=stop, clipped=golden["clip"], rests=golden["clip_rests"], messages=golden["messages"]
    )
    if given := golden.get("accompaniment"):
        assert_controls_equal(golden["clip"], stop, [given["control_instrument"]], given["ids"])


def test_the_own_golden_files_are_there_and_cover_controls() -> None:
    golden = [json.loads(path.with_suffix(".json").read_text()) for path in sorted(OWN.glob("*.mid"))]
    assert len(golden) >= 4
    assert sum("accompaniment" in case for case in golden) >= 3


@pytest.mark.skipif(not LARGE.is_dir(), reason=f"the large golden set is not at {LARGE}; set MIDI_LLM_GOLDEN_AMT")
def test_every_file_of_the_large_golden_set_gives_what_the_reference_gives() -> None:
    paths = sorted(LARGE.glob("*.mid"))
    assert paths, f"no MIDI file in {LARGE}"
    for path in paths:
        golden = json.loads(path.with_suffix(".json").read_text())
        assert_equal_to_reference(
            path,
            golden,
            stop=3000,
            clipped=golden["clip_30s"],
            rests=golden["clip_30s_rests"],
            messages=golden["decoded_messages"],
        )
        if given := golden.get("accompaniment"):
            assert_controls_equal(golden["clip_30s"], 3000, given["control_instruments"], given["tokens"])
