"""Does the model follow the main instrument and the density that a prompt asks for?

    python benchmarks/following.py [--takes 6] [--seconds 20] [--model nano] [--engine auto] [--seed 0] [-o table.md]

Every subject is composed as "sparse …" and "dense …", once as the command does it (instruments named in the prompt bind
the grammar) and once with the text alone (`parse=False`). Density is notes a second over the root of the number of
instruments, as the captions measure it (data/facts.py). "Order" is the chance that a dense take is denser than a sparse
take of the same subject: 50 % is no effect, 100 % always. Instrument share is the share of the notes that the named
families play; the chance level beside it is their share when another subject was asked for.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import machine
import prompts
from midi_llm import Composer, Piece
from midi_llm.compose.settings import Settings
from midi_llm.music.features import relative_density

SPARSE = ("sparse {}, few notes", "very sparse {}")
DENSE = ("dense {}, many notes", "very dense {}")
SUBJECTS: tuple[tuple[str, prompts.Family], ...] = (
    ("piano solo", prompts.PIANO),
    ("acoustic guitar piece", prompts.GUITAR),
    ("string quartet", prompts.STRINGS),
    ("organ music", prompts.ORGAN),
    ("flute and harp duet", prompts.FLUTE | prompts.HARP),
    ("rock song with electric guitar, bass and drums", prompts.GUITAR | prompts.BASS | prompts.DRUMS),
)


@dataclass(frozen=True, kw_only=True)
class Take:
    subject: str
    dense: bool
    density: float
    instruments: dict[int, int]

    def share(self, family: prompts.Family) -> float:
        total = sum(self.instruments.values())
        return sum(count for instrument, count in self.instruments.items() if instrument in family) / max(total, 1)


def judge(piece: Piece, subject: str, dense: bool) -> Take:
    instruments = {track.instrument: len(track.notes) for track in piece.score.tracks}
    per_second = piece.score.note_count / max(piece.score.seconds, 1.0)
    return Take(
        subject=subject, dense=dense, density=relative_density(per_second, len(instruments)), instruments=instruments
    )


def compose_all(composer: Composer, args: argparse.Namespace, *, parse: bool) -> list[Take]:
    takes = []
    for number, (subject, _) in enumerate(SUBJECTS):
        for dense, wordings in ((False, SPARSE), (True, DENSE)):
            for half, wording in enumerate(wordings):
                count = args.takes // 2 + (half < args.takes % 2)
                settings = Settings(
                    seconds=args.seconds, takes=count, seed=args.seed + 1000 * number + 100 * half, parse=parse
                )
                pieces = composer.compose_takes(wording.format(subject), settings)
                takes += [judge(piece, subject, dense) for piece in pieces]
        print(f"parse={parse}: {subject}", flush=True)
    return takes


def order(sparse: Sequence[float], dense: Sequence[float]) -> float:
    """Chance that a random dense value lies above a random sparse one; ties count half."""
    difference = np.subtract.outer(np.asarray(dense), np.asarray(sparse))
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def table(takes: list[Take]) -> list[str]:
    lines = [
        "| subject | sparse: density | dense: density | order | instrument share | chance level |",
        "|---|---|---|---|---|---|",
    ]
    orders, shares, levels = [], [], []
    for subject, family in SUBJECTS:
        sparse = [take.density for take in takes if take.subject == subject and not take.dense]
        dense = [take.density for take in takes if take.subject == subject and take.dense]
        share = statistics.mean(take.share(family) for take in takes if take.subject == subject)
        level = statistics.mean(take.share(family) for take in takes if take.subject != subject)
        orders.append(order(sparse, dense))
        shares.append(share)
        levels.append(level)
        lines.append(
            f"| {subject} | {statistics.median(sparse):.1f} | {statistics.median(dense):.1f} | {orders[-1]:.0%}"
            f" | {share:.0%} | {level:.0%} |"
        )
    mean = [f"{statistics.mean(values):.0%}" for values in (orders, shares, levels)]
    return [*lines, f"| mean | | | {mean[0]} | {mean[1]} | {mean[2]} |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes", type=int, default=6, help="per subject and density, half for each wording")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with Composer.open(args.model, engine=args.engine) as composer:
        bound = table(compose_all(composer, args, parse=True))
        free = table(compose_all(composer, args, parse=False))
    note = (
        f"{args.takes} takes of {args.seconds:g} s per subject and density, model {Path(args.model).name}, seeds from"
        f" {args.seed}; {machine.describe('onnxruntime', 'numpy')}"
    )
    text = "\n".join(["Instruments bound by the prompt:", "", *bound, "", "The text alone:", "", *free, "", note, ""])
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
