"""The key signatures that a MIDI file states: `key_signatures(content)`.

In: the bytes of a file. Out: its key signature messages in seconds. Many files have none, or C major by default: what
is stated is not what is heard (see `key.estimate_key`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from midi_llm.music.clock import make_clock
from midi_llm.music.smf import meta_payload, metas_by_type, split_chunks
from midi_llm.music.smf_scan import read_messages

META_KEY_SIGNATURE = 0x59

_MAJOR = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
_MINOR = ("Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySignature:
    """A key from `time` (seconds) on: `fifths` is the number of sharps, flats below 0, -7 to 7."""

    time: float
    fifths: int
    minor: bool = False

    @property
    def name(self) -> str:
        """Such as "Bb major" or "F# minor"."""
        return f"{(_MINOR if self.minor else _MAJOR)[self.fifths + 7]} {'minor' if self.minor else 'major'}"


def key_signatures(content: bytes, name: str = "<bytes>") -> tuple[KeySignature, ...]:
    """The key signatures of the MIDI file `content`, in order of time; impossible ones and repetitions are left out.

    Raises `MidiReadError` when it cannot be read; `name` is what the error calls it.
    """
    midi = split_chunks(content, name)
    messages = read_messages(midi, name)
    metas = metas_by_type(messages)
    clock = make_clock(midi, messages, metas)
    found: dict[float, tuple[int, bool]] = {}
    for index in sorted(metas.get(META_KEY_SIGNATURE, []), key=lambda index: int(clock.tick[index])):
        payload = meta_payload(midi, int(messages.body[index]))
        if len(payload) == 2 and payload[1] <= 1:
            fifths = int.from_bytes(payload[:1], "big", signed=True)
            if abs(fifths) <= 7:
                at = float(clock.seconds(np.array([clock.tick[index]]))[0])
                found[at] = fifths, bool(payload[1])
    keys: list[KeySignature] = []
    for time, (fifths, minor) in found.items():
        if not keys or (keys[-1].fifths, keys[-1].minor) != (fifths, minor):
            keys.append(KeySignature(time=time, fifths=fifths, minor=minor))
    return tuple(keys)


def fifths_of(key: str) -> tuple[int, bool]:
    """Sharps (flats below 0) and mode of a key by name, "Db major" or "C# minor"; raises `ValueError` if unknown."""
    tonic, _, mode = key.partition(" ")
    names = _MINOR if mode == "minor" else _MAJOR
    spelled = tonic if tonic in names else _ENHARMONIC.get(tonic, "")
    if mode not in {"major", "minor"} or spelled not in names:
        raise ValueError(f"no key is called {key!r}; keys are like 'Eb major' and 'F# minor'")
    return names.index(spelled) - 7, mode == "minor"


_ENHARMONIC = {"Db": "C#", "Gb": "F#", "D#": "Eb", "G#": "Ab", "A#": "Bb"}
