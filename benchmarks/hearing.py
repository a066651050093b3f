"""Sound and staves of a folder of MIDI files: seconds of music per second of work, and what a score keeps.

Usage: python benchmarks/hearing.py FOLDER
Sound: the built-in synthesizer and, where it is there, FluidSynth with the font that it finds, each from the file's
bytes to those of a WAV file at the usual loudness. Both in one run, file by file, so that a busy machine slows both;
only files of at most 150 s.
Staves: each file as MusicXML, read back by the plain reader of the tests. Counted are the notes that come back, those
whose onset is within an eighth of a quarter note of the file's, and bars that are not as long as their metre says.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from midi_llm.music.key_signatures import key_signatures

import machine
from midi_llm.music.read import midi_content, parse_midi
from midi_llm.music.score import Score
from midi_llm.notation.bars import QUARTER, lay_out
from midi_llm.notation.musicxml import to_musicxml
from midi_llm.synth.audio_file import to_wav_bytes
from midi_llm.synth.choose import LOUDNESS, Sounds, find_sounds, perform
from midi_llm.synth.loudness import match_loudness

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from notation.musicxml_reader import read_parts

LONGEST_SOUND = 150.0
NEAR = 0.13
"""Quarter notes."""


def sound_seconds(content: bytes, sounds: Sounds) -> float:
    """Seconds of work from a file's bytes to its sound's."""
    start = time.perf_counter()
    to_wav_bytes(match_loudness(perform(content, sounds), LOUDNESS))
    return time.perf_counter() - start


def written_onsets(score: Score) -> dict[int, list[float]]:
    """Quarter notes at which each pitch begins, by the file's own tempo map; -1 for drums."""
    layout, onsets = lay_out(score), defaultdict(list)
    for track in score.tracks:
        for note in track.to_notes():
            onsets[-1 if track.is_drum else note.pitch].append(layout.tick(note.time) / QUARTER)
    return onsets


def staves(content: bytes) -> Counter[str]:
    """What is kept of a file, and how long it takes."""
    score = parse_midi(content)
    start = time.perf_counter()
    text = to_musicxml(score, keys=key_signatures(content))
    counts = Counter(files=1, milliseconds=round(1000 * (time.perf_counter() - start)), notes=score.note_count)
    found: dict[int, list[float]] = defaultdict(list)
    for part in read_parts(text):
        counts.update(back=len(part.notes), bars=part.bars, faults=len(part.faults))
        for onset, _, pitch in part.notes:
            found[pitch if isinstance(pitch, int) else -1].append(onset)
    for pitch, onsets in written_onsets(score).items():
        counts["near"] += matched(sorted(onsets), sorted(found[pitch]))
    return counts


def matched(ours: list[float], theirs: list[float]) -> int:
    """How many of two ascending lists can be paired within `NEAR`."""
    count = here = there = 0
    while here < len(ours) and there < len(theirs):
        if abs(ours[here] - theirs[there]) <= NEAR:
            count, here, there = count + 1, here + 1, there + 1
        elif ours[here] < theirs[there]:
            here += 1
        else:
            there += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    files = sorted(parser.parse_args().folder.glob("*.mid"))
    found = find_sounds()
    players = {"built-in": Sounds(font=None)} | ({"FluidSynth": found} if found.font else {})
    work: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    music = 0.0
    for file in files:
        content = midi_content(file)
        kept.update(staves(content))
        if (seconds := parse_midi(content).seconds) > LONGEST_SOUND:
            continue
        music += seconds
        for name, sounds in players.items():
            work[name] += sound_seconds(content, sounds)  # type: ignore[assignment]
    print(machine.describe())
    for name in players:
        print(f"{name:10} {music / work[name]:6.1f} s of music a second ({music:.0f} s of music)")
    print(
        f"MusicXML   {kept['back'] / kept['notes']:.4f} of {kept['notes']:,} notes back,"
        f" {kept['near'] / kept['notes']:.4f} near their onset,"
        f" {kept['faults']} of {kept['bars']:,} bars not of their metre's length,"
        f" {kept['milliseconds'] / kept['files']:.0f} ms a file"
    )


if __name__ == "__main__":
    main()
