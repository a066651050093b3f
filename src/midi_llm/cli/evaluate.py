"""`midi-llm evaluate`: a system under test beside real music and floors, measured and reported; two runs compared.

stdout: the path of the report (or the comparison); stderr: progress. A run that was stopped continues.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.cli.steps import add_workers, step_bars, workers
from midi_llm.compose.settings import DEFAULT_ENGINE, DEFAULT_MODEL, DEFAULT_SECONDS
from midi_llm.errors import RequestError

if TYPE_CHECKING:
    from midi_llm.data.runs import RunIndex
    from midi_llm.evaluate.systems.base import JSON

REPORT_MARKDOWN, REPORT_HTML = "report.md", "report.html"


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a run, and the verb `compare`."""
    verbs = parser.add_subparsers(
        dest="verb", required=False, metavar="compare", help="set two finished runs side by side"
    )
    compare = verbs.add_parser("compare", help="A and B metric by metric, with tests")
    compare.add_argument("a", type=Path, metavar="A", help="the folder of a run")
    compare.add_argument("b", type=Path, metavar="B", help="another one")
    compare.add_argument(
        "--set", nargs=2, metavar=("A", "B"), dest="sets", help="compare these systems (default: those under test)"
    )
    compare.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the Markdown there as well")
    compare.add_argument("--force", action="store_true", help="overwrite FILE")
    add = parser.add_argument
    add("--out", type=Path, metavar="DIR", help="a new folder, or one to continue (needed)")
    _register_system(parser)
    _register_asked(parser)
    _register_measured(parser)
    add_workers(parser)
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(default_seconds=DEFAULT_SECONDS)


def _register_system(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", metavar="NAME|DIR|ID", help=f"evaluate this model (default {DEFAULT_MODEL})")
    add(
        "--files",
        type=Path,
        metavar="DIR|JSONL",
        help="evaluate MIDI files of any system: a folder with ID.mid or ID-0.mid, or lines with prompt and file",
    )
    add("--text2midi", metavar="DIR|ID", help="evaluate Text2midi's checkpoint")
    add("--name", metavar="NAME", help="what the report calls it")
    add(
        "--engine",
        default=DEFAULT_ENGINE,
        metavar="ENGINE",
        help="of --model: auto, onnx, torch or vllm (default auto)",
    )
    add("--temperature", type=float, metavar="T", help="of --model (default: the model's own)")
    add("--top-p", type=float, metavar="P", help="of --model (default: the model's own)")
    add("--guidance", type=float, metavar="G", help="of --model (default: the model's own)")
    add("--no-parse", action="store_true", help="leave instruments, tempo, metre and key in the prompt to the model")
    add("--no-grammar", action="store_true", help="draw ids as the published scripts do, and save what decodes")


def _register_asked(parser: argparse.ArgumentParser) -> None:
    from midi_llm.cli.contest import BESIDE, PRESETS

    add = parser.add_argument
    add("--prompts", type=Path, metavar="FILE", help="JSONL of prompts and facts (default: 200 held-out prompts)")
    add("--limit", type=int, metavar="N", help="only N of the prompts, evenly spread")
    add("--takes", type=int, metavar="N", help="of each prompt (default 1; of files: all there are)")
    add("--seed", type=int, default=0, metavar="N", help="of takes, real pieces and intervals (default 0)")
    add(
        "--seconds",
        type=_seconds,
        metavar="S",
        help=f"length asked for, or auto (default {DEFAULT_SECONDS:g}; none of files, --text2midi and --no-grammar)",
    )
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="a built data set: its held-out pieces are the ceiling and the yardstick, its index of runs finds copies",
    )
    add(
        "--beside", metavar="NAMES", help=f"of {', '.join(BESIDE)}, with commas, or none (default: all that can be had)"
    )
    add("--preset", choices=PRESETS, help="the protocol of the MIDI-LLM paper; needs --midicaps, --ids, --audio")
    add("--midicaps", type=Path, metavar="DIR", help="of --preset: MidiCaps with its MIDI files")
    add("--ids", type=Path, metavar="FILE", help="of --preset: the md5s to evaluate on")


def _register_measured(parser: argparse.ArgumentParser) -> None:
    from midi_llm.cli.race import BATCHES

    add = parser.add_argument
    add("--audio", metavar="DIR|ID", help="listen with this CLAP model: FAD, KAD, CLAP score")
    add("--vggish", type=Path, metavar="FILE", help="listen with these VGGish weights: FAD, KAD")
    add("--sound-font", type=Path, metavar="FILE", help="for listening (default: one that is installed)")
    add(
        "--race",
        nargs="?",
        const=BATCHES,
        metavar="BATCHES",
        help="also race the engine against transformers.generate at these batch sizes (default 1,4; needs torch)",
    )


def _seconds(text: str) -> str:
    """A number of seconds, or "auto"."""
    if text != "auto":
        float(text)
    return text


def run(args: argparse.Namespace) -> int:
    """Evaluate or compare; the result's path or text goes to stdout."""
    if args.verb == "compare":
        return _compare(args)
    if args.out is None:
        raise RequestError("--out is missing; name a folder for takes and report")
    return _evaluate(args)


def _evaluate(args: argparse.Namespace) -> int:
    from midi_llm.cli.contest import open_contest
    from midi_llm.cli.files import write_text
    from midi_llm.cli.listening import listener
    from midi_llm.cli.race import race
    from midi_llm.data.dataset import Dataset
    from midi_llm.evaluate.assess import assess
    from midi_llm.evaluate.record import RESULTS_FILE, Report, write_report
    from midi_llm.evaluate.report import report_html, report_markdown

    processes = workers(args)
    dataset = Dataset(args.data) if args.data is not None else None
    runs = _run_index(args.data)
    listen = listener(args)
    contest = open_contest(args, dataset)
    try:
        # the race comes first, so that what it lacks is said before anything is composed
        raced = race(args) if args.race is not None else []
        with step_bars(unit="", quiet=args.quiet) as on_step:
            sets = assess(
                contest.entrants,
                args.out,
                reference=contest.reference,
                runs=runs,
                listen=listen,
                seed=args.seed,
                workers=processes,
                on_step=on_step,
            )
    finally:
        contest.close()
    report = Report(
        sets=(replace(sets[0], results=(*sets[0].results, *raced)), *sets[1:]),
        settings=contest.settings,
        where=where(),
        command=command_line(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    write_report(report, args.out / RESULTS_FILE)
    write_text(report_markdown(report), args.out / REPORT_MARKDOWN, force=True)
    write_text(report_html(report, args.out), args.out / REPORT_HTML, force=True)
    print(args.out / REPORT_HTML)
    return 0


def _run_index(data: Path | None) -> RunIndex | None:
    """The data set's index of runs; None, with a word on stderr, where it has none."""
    from midi_llm.data.runs import RunIndex, has_runs

    if data is None:
        return None
    if not has_runs(data):
        print(f"midi-llm: copies are not looked for: run `midi-llm data runs {data}` first", file=sys.stderr)
        return None
    return RunIndex.open(data)


def _compare(args: argparse.Namespace) -> int:
    from midi_llm.cli.files import check_file, write_text
    from midi_llm.evaluate.compare import compare_sets, comparison_warnings
    from midi_llm.evaluate.record import read_report
    from midi_llm.evaluate.report import comparison_markdown

    if args.output is not None:
        check_file(args.output, force=args.force)
    reports = [read_report(path) for path in (args.a, args.b)]
    names = args.sets or [report.sets[0].name for report in reports]
    sets = []
    for report, name, path in zip(reports, names, (args.a, args.b), strict=True):
        found = next((one for one in report.sets if one.name == name), None)
        if found is None:
            raise RequestError(f"{path} has no system {name!r}; it has {', '.join(one.name for one in report.sets)}")
        sets.append(found)
    text = comparison_markdown(compare_sets(*sets), *sets, warnings=comparison_warnings(*reports))
    if args.output is not None:
        write_text(text, args.output, force=args.force)
    print(text, end="")
    return 0


def where() -> dict[str, JSON]:
    """Machine and versions that the figures were taken on."""
    from midi_llm.evaluate.machine import machine, versions

    return {**machine(), **versions()}


def command_line() -> str:
    """The command that repeats this run."""
    return shlex.join(["midi-llm", *sys.argv[1:]])
