"""Listening as part of an evaluation: ears and a sound font from the arguments of `midi-llm evaluate`.

In: parsed arguments. Out: a `Listener`, or None where nothing is to be heard. A set is rendered and heard once: what an
ear heard lies in OUT/heard, named by what it depends on, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.errors import SynthesisError
from midi_llm.evaluate.families import prompt_groups

if TYPE_CHECKING:
    from midi_llm.evaluate.assess import Listener
    from midi_llm.evaluate.audio import Ear, Heard
    from midi_llm.evaluate.metric import Result
    from midi_llm.evaluate.take import Take
    from midi_llm.synth.sound_font import SoundFont
    from midi_llm.synth.waveform import Waveform

FOLDER = "heard"


def listener(args: argparse.Namespace) -> Listener | None:
    """Open the ears that are asked for. Raises `SynthesisError` without FluidSynth or a sound font."""
    if args.audio is None and args.vggish is None:
        return None
    from midi_llm.synth.fluidsynth import fluidsynth_version
    from midi_llm.synth.sound_font import find_sound_font, open_sound_font

    font = open_sound_font(args.sound_font) if args.sound_font is not None else find_sound_font()
    if font is None:
        raise SynthesisError(
            "no sound font was found; install one (Debian, Ubuntu: apt install fluid-soundfont-gm) or name one with"
            " --sound-font FILE"
        )
    version = fluidsynth_version()
    ears: list[Ear] = []
    if args.audio is not None:
        from midi_llm.evaluate.audio.clap import open_clap

        ears.append(open_clap(args.audio))
    if args.vggish is not None:
        from midi_llm.evaluate.audio.vggish import open_vggish

        ears.append(open_vggish(args.vggish))
    return Listening(ears=tuple(ears), font=font, version=version, folder=args.out / FOLDER, seed=args.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """Every ear hears every set through one sound font."""

    ears: tuple[Ear, ...]
    font: SoundFont
    version: str
    """Of FluidSynth."""
    folder: Path
    seed: int

    def __call__(self, takes: Sequence[Take], reference: Sequence[Take], name: str) -> Sequence[Result]:
        """FAD, FAD-infinity and KAD where there is real music; the CLAP score where an ear hears texts."""
        from midi_llm.evaluate.audio import TextEar, compare, rate

        facts = {"sound_font": self.font.name, "sound_font_sha256": self.font.sha256, "fluidsynth": self.version}
        groups = prompt_groups(takes)
        results: list[Result] = []
        for ear in self.ears:
            heard = self._heard(takes, ear)
            if reference:
                results += compare(heard, self._heard(reference, ear), groups, seed=self.seed, facts=facts)
            if isinstance(ear, TextEar):
                texts = [take.prompt.text for take in takes]
                results.append(rate(heard, texts, ear, groups, seed=self.seed, facts=facts))
        return results

    def _heard(self, takes: Sequence[Take], ear: Ear) -> Heard:
        """From the folder where it is there, else rendered, heard and kept."""
        from midi_llm.evaluate.audio import listen, read_heard, write_heard
        from midi_llm.synth.fluidsynth import render
        from midi_llm.synth.loudness import integrated_loudness

        path = self.folder / f"{self._key(takes, ear)}.npz"
        if path.is_file():
            return read_heard(path, ear=ear.id)

        def sound(take: Take) -> Waveform:
            return render(take.score, sound_font=self.font, sample_rate=ear.sample_rate)

        heard = listen(takes, ear, sound, loudness=integrated_loudness)
        write_heard(path, heard)
        return heard

    def _key(self, takes: Sequence[Take], ear: Ear) -> str:
        """Digest of all that the vectors follow from: notes, ear, sound font, version."""
        digest = hashlib.sha256(json.dumps([ear.id, self.font.sha256, self.version]).encode())
        for take in takes:
            digest.update(f"\n{take.prompt.id}/{take.number}/{take.error}".encode())
            for track in take.score.tracks:
                digest.update(f"/{track.instrument}".encode() + track.notes.tobytes())
        return digest.hexdigest()[:16]
