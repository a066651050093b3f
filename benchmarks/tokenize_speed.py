"""P1: MIDI file -> AMT ids, files per second on one core, ours against the reference tokenizer.

Usage: python benchmarks/tokenize_speed.py [FOLDER] [--reference PATH] [--rounds N]
FOLDER holds .mid files (default: ../shared/golden/amt when there, else the files of tests/golden/amt). PATH is a
checkout of jthickstun/anticipation (not needed when it is installed; without it only our side is timed; it needs mido).
Both sides read every file from disk and end with a list of ids; the ids are compared before anything is timed. Rounds
are interleaved, the median counts, and processor time is reported next to wall time because a busy machine stretches
the latter.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import machine
from midi_llm.music.read import read_midi
from midi_llm.tokens.codec import quantize
from midi_llm.tokens.vocab import DUR_OFFSET, MAX_PITCH, NOTE_OFFSET

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "golden" / "amt"


def ours(path: Path) -> Any:
    """Ids of the whole piece, int32 [3n]; `encode` without its bound of one window, as the reference has none."""
    events = quantize(read_midi(path))
    ids = np.empty(3 * len(events), np.int32)
    ids[0::3] = events[:, 0]
    ids[1::3] = DUR_OFFSET + events[:, 1]
    ids[2::3] = NOTE_OFFSET + MAX_PITCH * events[:, 2] + events[:, 3]
    return ids


def reference(checkout: Path | None) -> Callable[[Path], Any] | None:
    """The reference's own function, or None when it cannot be imported."""
    if checkout is not None:
        sys.path.insert(0, str(checkout))
    try:
        from anticipation.convert import midi_to_events
    except ImportError as error:
        print(f"no reference ({error}): pass --reference PATH to compare", file=sys.stderr)
        return None
    return lambda path: midi_to_events(str(path))


def timed(function: Callable[[Path], Any], paths: list[Path]) -> tuple[float, float]:
    """(processor seconds, wall seconds) for all files."""
    wall, processor = time.perf_counter(), time.process_time()
    for path in paths:
        function(path)
    return time.process_time() - processor, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=SHARED if SHARED.is_dir() else ROOT / "tests/golden/amt"
    )
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    paths = sorted(args.folder.rglob("*.mid"))
    if not paths:
        parser.error(f"no .mid file in {args.folder}")
    theirs = reference(args.reference)
    notes = sum(len(ours(path)) // 3 for path in paths)
    if theirs is not None:
        different = [path.name for path in paths if list(ours(path)) != list(theirs(path))]
        print(f"files whose ids differ from the reference: {len(different)} of {len(paths)} {' '.join(different[:5])}")
    sides = {"midi_llm": ours} | ({"anticipation": theirs} if theirs is not None else {})
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, function in sides.items():
            times[name].append(timed(function, paths))
    print(f"{len(paths)} files, {notes:,} notes; median of {args.rounds} interleaved rounds, one core")
    print(f"{machine.describe('numpy', 'mido')}\n")
    print("| side | files/s (processor) | files/s (wall) | notes/s (processor) |")
    print("|---|---|---|---|")
    for name, rounds in times.items():
        processor, wall = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {name} | {len(paths) / processor:,.1f} | {len(paths) / wall:,.1f} | {notes / processor:,.0f} |")
    if theirs is not None:
        pairs = zip(times["anticipation"], times["midi_llm"], strict=True)
        ratios = [(slow[0] / fast[0], slow[1] / fast[1]) for slow, fast in pairs]
        processor, wall = (statistics.median(column) for column in zip(*ratios, strict=True))
        print(f"\nratio: {processor:.1f} (processor time), {wall:.1f} (wall)")


if __name__ == "__main__":
    main()
