"""How often are wishes met? By kind, over takes of mixed wishes, for one take and for the best of several.

    python benchmarks/wishes.py [--takes 8] [--seconds 20] [--model nano] [--engine auto] [--seed 0] [-o table.md]

Each set of wishes is composed `--takes` times. "One take" is the share over all of them, "best of N" that of the take
ranked first. What the grammar holds a take to should be met always; tempo, metre and key are as heard.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import machine
from midi_llm import Composer, asked_for
from midi_llm.compose.settings import Settings

ASKED: tuple[tuple[str, dict[str, object]], ...] = (
    ("a calm piano piece", {"tempo": 80, "key": "C major"}),
    ("a folk tune", {"only": "acoustic guitar, flute", "metre": "3/4", "key": "G major"}),
    ("a rock song", {"only": "electric guitar, bass, drums", "tempo": 140, "bars": 8}),
    ("an electronic track", {"also": "synth lead, drums", "tempo": 128, "bars": 8, "loop": True}),
    ("a string quartet", {"density": "sparse", "key": "D minor"}),
    ("a piano etude", {"only": "piano", "density": "dense", "key": "A minor"}),
    ("a march", {"without": "drums", "metre": "2/4", "tempo": 112}),
    ("game music", {"scale": "A minor pentatonic", "tempo": 150, "loop": True}),
    ("a church organ piece", {"only": "organ", "ranges": ["organ:C3-C6"], "key": "Eb major"}),
    ("a jazz trio", {"only": "piano, double bass, drums", "tempo": 160, "ranges": ["double bass:E1-G3"]}),
    ("a waltz", {"also": "accordion", "bars": 16, "tempo": 150}),
    ("a sad melody", {"only": "violin", "scale": "E minor", "density": "sparse"}),
    ("a funk groove", {"only": "bass, drums", "tempo": 100, "bars": 4, "loop": True}),
    ("a lullaby", {"only": "music box", "ranges": ["music box:C5-C7"], "key": "F major"}),
    ("a samba", {"also": "acoustic guitar, flute", "without": "piano"}),
    ("an Irish jig", {"only": "violin, flute", "tempo": 120, "key": "D major"}),
    ("a brass fanfare", {"only": "trumpet, trombone, tuba", "bars": 6, "tempo": 108}),
    ("ambient music", {"density": "sparse", "without": "drums", "scale": "C D E G A"}),
    ("a blues", {"also": "organ, bass", "key": "A major", "tempo": 90}),
    ("a techno loop", {"only": "synth bass, drums", "tempo": 132, "loop": True, "density": "dense"}),
    ("a baroque piece", {"only": "harpsichord", "key": "G minor", "metre": "4/4"}),
    ("a ballad", {"also": "piano, strings", "tempo": 70, "key": "Bb major"}),
    ("a hymn", {"only": "choir", "metre": "4/4", "ranges": ["choir:E2-A5"]}),
    ("a chase", {"density": "dense", "tempo": 170, "also": "strings, drums"}),
    ("a minuet", {"only": "flute, harpsichord", "metre": "3/4", "bars": 8, "tempo": 120}),
)
HELD_BY_GRAMMAR = ("only", "without", "pitches", "range")
CUT_TO_FIT = ("length", "bars", "loop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    every: defaultdict[str, list[bool | None]] = defaultdict(list)
    best: defaultdict[str, list[bool | None]] = defaultdict(list)
    with Composer.open(args.model, engine=args.engine) as composer:
        for number, (prompt, wishes) in enumerate(ASKED):
            asked = asked_for(**wishes)  # type: ignore[arg-type]
            seconds = None if asked.bars else args.seconds
            settings = Settings(seconds=seconds, takes=args.takes, seed=args.seed + 1000 * number, wishes=asked)
            pieces = composer.compose_takes(prompt, settings)
            for piece in pieces:
                for finding in piece.findings:
                    every[finding.wish].append(finding.met)
            first = max(pieces, key=lambda piece: piece.ranking.total)
            for finding in first.findings:
                best[finding.wish].append(finding.met)
            print(f"{number + 1:3} of {len(ASKED)}  {prompt}", flush=True)
    text = table(every, best, args.takes)
    text += (
        f"\n\n{len(ASKED)} sets of wishes, {args.takes} takes each of {args.seconds:g} s (or the bars asked for), model"
    )
    text += f" {args.model}, seeds from {args.seed}; {machine.describe('onnxruntime', 'numpy')}"
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")


def table(every: dict[str, list[bool | None]], best: dict[str, list[bool | None]], takes: int) -> str:
    rows = [f"| wish | how | met, one take | met, best of {takes} | cannot be told |", "|---|---|---|---|---|"]
    order = [*HELD_BY_GRAMMAR, *CUT_TO_FIT, *sorted(set(every) - {*HELD_BY_GRAMMAR, *CUT_TO_FIT})]
    for wish in order:
        how = (
            "held by the grammar" if wish in HELD_BY_GRAMMAR else "cut" if wish in CUT_TO_FIT else "text, then measured"
        )
        unknown = every[wish].count(None)
        rows.append(
            f"| {wish} | {how} | {share(every[wish])} | {share(best[wish])} | {unknown} of {len(every[wish])} |"
        )
    return "\n".join(rows)


def share(met: list[bool | None]) -> str:
    told = [one for one in met if one is not None]
    return f"{100 * sum(told) / len(told):.0f} % ({sum(told)}/{len(told)})" if told else "-"


if __name__ == "__main__":
    main()
