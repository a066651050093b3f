"""`midi-llm bench`: how fast this machine composes with a model, by each engine that can run it here.

stdout: a table, or with --json one object; stderr: progress. Ctrl-C shows the rows that have a finished round.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midi_llm.cli.race import PROMPT, batch_sizes
from midi_llm.compose.settings import DEFAULT_MODEL
from midi_llm.engines.choice import ENGINES
from midi_llm.errors import EngineError, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midi_llm.evaluate.contenders import Contender
    from midi_llm.evaluate.race import Entry, Event
    from midi_llm.evaluate.speed_table import Row
    from midi_llm.model.checkpoint import CheckpointInfo

EXIT_INTERRUPTED = 130
ALL = tuple(name for name in ENGINES if name != "auto")
DEFAULT_IDS = 256
MIN_IDS = 4
"""A note and the id that ends a piece."""
ROUNDS = 3
SECONDS = 25.0
"""After the first, no round begins that would end later: a slow machine has fewer."""


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench`."""
    add = parser.add_argument
    add("--model", default=DEFAULT_MODEL, metavar="NAME|DIR|ID", help=f"see midi-llm models (default {DEFAULT_MODEL})")
    add(
        "--engine",
        default="all",
        metavar="NAMES",
        help=f"of {', '.join(ALL)}, with commas; auto: the one that composing takes (default: all that can run)",
    )
    add("--takes", default="1,4", metavar="NUMBERS", help="how many side by side, with commas (default 1,4)")
    add("--ids", type=int, default=DEFAULT_IDS, metavar="N", help=f"of each take, 3 a note (default {DEFAULT_IDS})")
    add("--json", action="store_true", help="print one JSON object: the rows, and where they were measured")
    add("-o", "--output", type=Path, metavar="FILE", help="write there as well what is printed")
    add("--force", action="store_true", help="overwrite FILE")
    add("-q", "--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit code is returned."""
    from midi_llm.cli.files import check_file, write_text
    from midi_llm.evaluate.machine import machine, versions
    from midi_llm.evaluate.speed import engine_results
    from midi_llm.evaluate.speed_table import rows
    from midi_llm.model.catalog import resolve_model
    from midi_llm.model.checkpoint import verify_checkpoint

    if args.output is not None:
        check_file(args.output, force=args.force)
    takes = batch_sizes(args.takes, option="--takes")
    info = verify_checkpoint(resolve_model(args.model))
    prompt_ids = _prompt_ids(info, args.ids)
    formats: dict[str, str] = {}
    entries = [_entry(name, info.folder, prompt_ids, args.ids, formats) for name in _engines(args.engine, info.folder)]
    load = machine()["load"]  # afterwards it would be our own
    events: list[Event] = []
    stopped = _race(entries, takes, events, quiet=args.quiet)
    made = rows(engine_results(events))
    absent = _absent(events)
    if not made and stopped:
        raise KeyboardInterrupt
    if not made:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
        raise EngineError(f"no engine can run {args.model} here: {reasons}")
    about = {
        "model": info.name,
        "parameters": info.parameters,
        "prompt_ids": len(prompt_ids),
        "stopped": stopped,
        "machine": {**machine(), "load": load},
        "versions": versions(),
    }
    text = _json(made, absent, formats, about) if args.json else _table(made, absent, formats, about)
    print(text)
    if args.output is not None:
        write_text(text + "\n", args.output, force=args.force)
    return EXIT_INTERRUPTED if stopped else 0


def _engines(text: str, folder: Path) -> list[str]:
    """The names in `text`, once each."""
    from midi_llm.engines.open import choose_engine

    if text == "all":
        return list(ALL)
    if text == "auto":
        return [choose_engine(folder).name]
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(names) <= set(ALL):
        raise RequestError(f"--engine is {text!r}; expected all, auto, or some of {', '.join(ALL)}, with commas")
    return names


def _prompt_ids(info: CheckpointInfo, ids: int) -> list[int]:
    """The prompt of every take; `RequestError` where `ids` do not fit behind it."""
    from midi_llm.prompt import load_tokenizer

    prompt_ids = info.prompt_format.encode(PROMPT, load_tokenizer(info.folder), info.text_rows)
    room = info.max_positions + 1 - len(prompt_ids)
    if not MIN_IDS <= ids <= room:
        raise RequestError(f"--ids is {ids}; allowed is {MIN_IDS} to {room} with this model, {DEFAULT_IDS} is usual")
    return prompt_ids


def _entry(name: str, folder: Path, prompt_ids: list[int], ids: int, formats: dict[str, str]) -> Entry:
    """An engine that notes the number format of its weights in `formats` when it is opened."""
    from midi_llm.engines.open import open_engine
    from midi_llm.evaluate.contenders import EngineContender
    from midi_llm.evaluate.race import Entry

    def opened() -> Contender:
        engine = open_engine(folder, name)
        formats[name] = str(getattr(engine, "precision", ""))  # not every engine says it
        return EngineContender(engine, prompt_ids, tokens=ids)

    return Entry(name=name, open=opened)


def _race(entries: Sequence[Entry], takes: list[int], events: list[Event], *, quiet: bool) -> bool:
    """Add what happens to `events`; True when Ctrl-C ended it."""
    from tqdm import tqdm

    from midi_llm.evaluate.race import race

    laps = race(entries, batches=takes, rounds=ROUNDS, seconds=SECONDS)
    most = len(entries) * (1 + ROUNDS * len(takes))
    with closing(laps), tqdm(total=most, desc="measuring", file=sys.stderr, disable=quiet, leave=False) as bar:
        try:
            for event in laps:
                events.append(event)
                bar.update()
        except KeyboardInterrupt:
            return True
    return False


def _absent(events: Sequence[Event]) -> dict[str, str]:
    """Engines that cannot run here, or could not go on, and why."""
    from midi_llm.evaluate.race import Failed

    return {event.contender: " ".join(str(event.error).split()) for event in events if isinstance(event, Failed)}


def _json(made: list[Row], absent: dict[str, str], formats: dict[str, str], about: dict[str, Any]) -> str:
    shown = []
    for row in made:
        fields = asdict(row)
        engine = fields.pop("contender")
        shown.append({"engine": engine, "number_format": formats[engine], **fields})
    cannot_run = [{"engine": name, "reason": reason} for name, reason in absent.items()]
    return json.dumps({**about, "rows": shown, "cannot_run": cannot_run}, indent=2, ensure_ascii=False)


def _table(made: list[Row], absent: dict[str, str], formats: dict[str, str], about: dict[str, Any]) -> str:
    from midi_llm.evaluate.speed_table import markdown

    named = [replace(row, contender=f"{row.contender} {formats[row.contender]}".strip()) for row in made]
    where = about["machine"]
    rounds = " or ".join(str(number) for number in sorted({row.rounds for row in made}))
    ran = {row.contender for row in made}
    gpu = f", {where['gpu']}" if "gpu" in where else ""
    versions = {"Python": where["python"], **about["versions"]}
    lines = [
        markdown(named),
        "",
        *(f"{name} {'failed' if name in ran else 'cannot run here'}: {reason}" for name, reason in absent.items()),
        f"{about['model']}, {about['parameters'] / 1e6:.1f} M parameters, a prompt of {about['prompt_ids']} ids;"
        f" rounds: {rounds}{' (stopped)' if about['stopped'] else ''}, medians shown;"
        " RTF = seconds of music of all takes a second, at an even pace of notes",
        f"{where['processor']}, {where['cores']} cores{gpu}; load {where['load']:.1f}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return "\n".join(lines)
