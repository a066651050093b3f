"""`midi-llm data`: build a data set, look at it, check it, index it for the search of copies."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from midi_llm.cli.steps import add_workers, step_bars, workers


def register(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their arguments."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", help="build, stats, show, check or runs")
    _register_build(verbs.add_parser("build", help="sources to a manifest, captions and training rows; continues"))
    stats = verbs.add_parser("stats", help="what was kept and why not, lengths, instruments, keys, licences")
    show = verbs.add_parser("show", help="print a training row as text and write its MIDI")
    check = verbs.add_parser("check", help="read every file again: digests, splits, rows that decode")
    runs = verbs.add_parser(
        "runs", help="index the training pieces' melodies: `evaluate` then looks for copies of them"
    )
    for verb in (stats, show, check, runs):
        verb.add_argument("dataset", type=Path, metavar="DIR", help="a data set that `data build` made")
    stats.add_argument("--json", action="store_true", help="all figures as JSON")
    show.add_argument("row", type=int, nargs="?", default=0, metavar="N", help="number of the row (default 0)")
    show.add_argument("--row-set", metavar="NAME", help="such as full/train (default: the first training rows)")
    show.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the row's music there (.mid)")
    add_workers(runs)


def _register_build(build: argparse.ArgumentParser) -> None:
    build.add_argument(
        "--source", action="append", required=True, metavar="KIND:PATH",
        help="corpus:DIR, folder:DIR[:CAPTIONS.jsonl], lakh:, midicaps:, gigamidi:, aria: or musicpile:PATH; may be"
        " repeated",
    )  # fmt: skip
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder, or one to continue")
    build.add_argument("--preset", default="nano", metavar="NAME", help="row sets: nano (default) or midi-llm-1b")
    build.add_argument(
        "--set", action="append", default=[], metavar="SET.FIELD=VALUE", help="such as full.rows=400; may be repeated"
    )
    build.add_argument("--tokenizer", type=Path, metavar="DIR", help="holds tokenizer.json (default: train one)")
    build.add_argument("--vocabulary", type=int, default=4096, metavar="N", help="text ids to train (default 4096)")
    build.add_argument(
        "--captions", type=int, default=40_000, metavar="N", help="captions to train the tokenizer on (default 40000)"
    )
    build.add_argument("--filters", default="lenient", metavar="NAME", help="lenient (default) or amt")
    build.add_argument("--exclude", type=Path, metavar="FILE", help="ids or digests, one a line, never to be used")
    build.add_argument(
        "--rewrite", action="store_true",
        help="let the model at MIDI_LLM_REWRITE_URL reword the captions (OpenAI-compatible; also _MODEL and _KEY)",
    )  # fmt: skip
    build.add_argument("--seed", type=int, default=1, help="of the tokenizer's captions (default 1)")
    add_workers(build)
    build.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS", help="run on a Ray cluster instead")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says; the result goes to stdout."""
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {
        "build": _build,
        "stats": _stats,
        "show": _show,
        "check": _check,
        "runs": _runs,
    }
    return verbs[args.verb](args)


def _build(args: argparse.Namespace) -> int:
    """Build with a progress bar per step, then say what came out."""
    from midi_llm.data.build import BuildSpec, build
    from midi_llm.data.dataset import CARD_FILE
    from midi_llm.data.filters import PRESETS
    from midi_llm.data.presets import row_sets
    from midi_llm.data.rewrite import settings_from_environment
    from midi_llm.data.stats import dataset_stats, summary
    from midi_llm.errors import RequestError
    from midi_llm.prompt import PUBLISHED

    if args.filters not in PRESETS:
        raise RequestError(f"--filters is {args.filters!r}; allowed are {', '.join(PRESETS)}")
    processes = workers(args)
    chosen = row_sets(args.preset, args.set)
    if args.tokenizer is None and any(one.prompt == PUBLISHED for one in chosen):
        raise RequestError(f"--preset {args.preset} needs --tokenizer: the folder of the model that is to be trained")
    rewriting = settings_from_environment() if args.rewrite else None
    if args.rewrite and rewriting is None:
        raise RequestError("--rewrite needs the address of a model in MIDI_LLM_REWRITE_URL, and its name in _MODEL")
    spec = BuildSpec(
        sources=tuple(args.source),
        row_sets=chosen,
        filters=PRESETS[args.filters],
        tokenizer=args.tokenizer,
        exclude=_read_exclude(args.exclude),
        text_rows=args.vocabulary,
        tokenizer_captions=args.captions,
        rewriting=rewriting,
        seed=args.seed,
    )
    with step_bars() as on_step:
        dataset = build(spec, args.out, workers=processes, ray=args.ray, on_step=on_step)
    print(summary(dataset_stats(dataset.rows)), file=sys.stderr)
    print(args.out / CARD_FILE)
    return 0


def _read_exclude(path: Path | None) -> frozenset[str]:
    """Ids, one a line; empty lines do not count."""
    from midi_llm.errors import RequestError

    if path is None:
        return frozenset()
    try:
        return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--exclude {path} cannot be read: {error}") from error


def _stats(args: argparse.Namespace) -> int:
    from midi_llm.data.dataset import Dataset
    from midi_llm.data.stats import dataset_stats, stats_json, summary

    stats = dataset_stats(Dataset(args.dataset).rows)
    print(json.dumps(stats_json(stats), indent=1) if args.json else summary(stats))
    return 0


def _show(args: argparse.Namespace) -> int:
    from midi_llm.cli.files import check_file
    from midi_llm.data.dataset import Dataset
    from midi_llm.data.inspect import open_row_set, show_row
    from midi_llm.errors import RequestError
    from midi_llm.music.write import write_midi
    from midi_llm.prompt import load_tokenizer

    if args.output:
        check_file(args.output, force=False)
    dataset = Dataset(args.dataset)
    name, shards = open_row_set(dataset, args.row_set)
    shown = show_row(shards, args.row, load_tokenizer(dataset.folder))
    if args.output and not shown.source:
        raise RequestError(f"row {args.row} is text alone; there is no music to write to {args.output}")
    if args.output:
        write_midi(shown.score, args.output)
        print(args.output, file=sys.stderr)
    print(f"# {name}\n{shown.text}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from midi_llm.data.dataset import Dataset
    from midi_llm.data.inspect import check_dataset

    for line in check_dataset(Dataset(args.dataset)):
        print(line)
    return 0


def _runs(args: argparse.Namespace) -> int:
    """Index the training pieces, then say how much is in the index."""
    from midi_llm.data.dataset import Dataset
    from midi_llm.data.runs import FOLDER, build_runs

    processes = workers(args)
    with step_bars() as on_step:
        info = build_runs(Dataset(args.dataset), workers=processes, on_step=on_step).info
    size = sum(file["bytes"] for file in info["files"].values()) / 1e6
    print(
        f"{info['pieces']:,} training pieces, {info['lines']:,} lines, {info['notes']:,} notes; {size:,.1f} MB",
        file=sys.stderr,
    )
    print(args.dataset / FOLDER)
    return 0
