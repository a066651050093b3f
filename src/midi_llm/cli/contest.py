"""Who takes part in an evaluation, from the arguments of `midi-llm evaluate`.

In: parsed arguments. Out: a `Contest`: the system under test, what stands beside it, real music as the yardstick, and
the settings that a report records. Everything that can be missing is looked for before anything is composed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.errors import RequestError
from midi_llm.evaluate.assess import Entrant, takes_of
from midi_llm.evaluate.prompts import Prompt, read_prompts
from midi_llm.evaluate.run import Plan, plan_jobs, prompts_sha256
from midi_llm.evaluate.systems.base import JSON, System
from midi_llm.evaluate.systems.floor import RandomGrammar, mismatched, shuffled
from midi_llm.evaluate.systems.pieces import Pieces

if TYPE_CHECKING:
    from midi_llm.data.dataset import Dataset
    from midi_llm.evaluate.take import Take

BESIDE = ("real", "shuffled", "mismatched", "random")
"""What may stand beside the system under test: the ceiling and the floors."""
NEED_DATA = ("real", "shuffled", "mismatched")
PAPER = "midi-llm-paper"
PRESETS = (PAPER,)
PAPER_NEEDS = (
    ("midicaps", "--midicaps DIR (train.json and midicaps.tar.gz of amaai-lab/MidiCaps)"),
    ("ids", "--ids FILE (the authors' assets/evaluation_set_lakh_ids.txt, one md5 a line)"),
    ("audio", "--audio DIR|ID (a CLAP model, such as laion/larger_clap_music)"),
)
_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contest:
    """`entrants[0]` is the system under test."""

    entrants: tuple[Entrant, ...]
    reference: tuple[Take, ...]
    settings: dict[str, JSON]

    def close(self) -> None:
        """Close every system."""
        for entrant in self.entrants:
            entrant.system.close()


def open_contest(args: argparse.Namespace, dataset: Dataset | None) -> Contest:
    """Open the system under test and what `args.beside` names. Raises `RequestError` for what does not go together."""
    beside = _beside(args.beside, has_data=dataset is not None or args.preset == PAPER)
    seconds = _seconds(args)
    _check_wishes(args, seconds)
    pieces: Pieces | None
    if args.preset == PAPER:
        prompts, real = _paper_set(args)
        system = open_system(args, prompts)
        reference = takes_of(real, prompts)
        ceiling: list[tuple[Pieces, Sequence[Prompt]]] = []  # the reference itself: it would be compared with itself
        pieces = real
    else:
        prompts, system = _prompts_and_system(args)
        ceiling, reference, pieces = _real_music(dataset, prompts, seconds, args)
    plan = Plan(prompts=tuple(prompts), takes=_takes(system, args), seed=args.seed, seconds=seconds)
    plan_jobs(plan)  # says what is out of range before anything is composed
    entrants = [Entrant(system=system, plan=plan)]
    for name in beside:
        entrants += _floor(name, plan, ceiling, pieces, args.seed)
    settings: dict[str, JSON] = {
        "system": system.name,
        "prompts": str(args.prompts or args.files or "held-out prompts of this package") if not args.preset else PAPER,
        "prompts_sha256": prompts_sha256(prompts),
        "prompt_count": len(prompts),
        "takes": plan.takes,
        "seconds": seconds,
        "seed": args.seed,
        "data": dataset.manifest_sha256 if dataset is not None else None,
    }
    return Contest(entrants=tuple(entrants), reference=tuple(reference), settings=settings)


def open_system(args: argparse.Namespace, prompts: Sequence[Prompt]) -> System:
    """The system under test: files, Text2midi, or a model of ours. Raises `RequestError` for two of them."""
    chosen = [flag for flag in ("model", "files", "text2midi") if getattr(args, flag) is not None]
    if len(chosen) > 1:
        raise RequestError(f"--{' and --'.join(chosen)} were given; one system is evaluated at a time")
    if args.files is not None:
        from midi_llm.evaluate.systems.folder import FolderSystem, match_files

        found = match_files(args.files, prompts)
        return FolderSystem(files=found.files, name=_system_name(args, args.files.stem))
    if args.text2midi is not None:
        from midi_llm.evaluate.systems.text2midi import open_text2midi

        opened = open_text2midi(args.text2midi)
        opened.name = _system_name(args, opened.name)
        return opened
    return _own_system(args)


def _own_system(args: argparse.Namespace) -> System:
    from midi_llm.cli.own_system import OwnSystem, model_sha256
    from midi_llm.compose.composer import Composer
    from midi_llm.compose.settings import DEFAULT_MODEL
    from midi_llm.model.catalog import resolve_model

    model = args.model or DEFAULT_MODEL
    return OwnSystem(
        composer=Composer.open(model, engine=args.engine),
        weights=model_sha256(resolve_model(model)),
        name=_system_name(args, Path(model).name),
        parse=not args.no_parse,
        grammar=not args.no_grammar,
        temperature=args.temperature,
        top_p=args.top_p,
        guidance=args.guidance,
    )


def _prompts_and_system(args: argparse.Namespace) -> tuple[list[Prompt], System]:
    if args.files is not None and args.files.is_file():
        from midi_llm.evaluate.systems.folder import FolderSystem, read_listed

        if args.prompts is not None or args.limit is not None:
            raise RequestError(f"--files {args.files} has its own prompts; leave --prompts and --limit out")
        prompts, found = read_listed(args.files)
        return prompts, FolderSystem(files=found.files, name=_system_name(args, args.files.stem))
    path = args.prompts or Path(str(files("midi_llm.evaluate").joinpath("prompts.jsonl")))
    prompts = read_prompts(path)
    if args.limit is not None:
        if not 1 <= args.limit <= len(prompts):
            raise RequestError(f"--limit is {args.limit}; {path.name} has {len(prompts)} prompts, allowed is 1 to that")
        prompts = [prompts[number * len(prompts) // args.limit] for number in range(args.limit)]
    return prompts, open_system(args, prompts)


def _real_music(
    dataset: Dataset | None, prompts: Sequence[Prompt], seconds: float | None, args: argparse.Namespace
) -> tuple[list[tuple[Pieces, Sequence[Prompt]]], list[Take], Pieces | None]:
    """The ceiling (test pieces), the reference (validation pieces), and the ceiling's pieces for the floors.

    As many of each as the run has prompts, or all there are: neither was trained on, and no piece is in both.
    """
    from midi_llm.evaluate.systems.real import DEFAULT_SECONDS, real_set

    if dataset is None:
        return [], [], None
    asked = seconds or DEFAULT_SECONDS
    texts, pieces = real_set(dataset, count=len(prompts), least=2, seconds=asked, seed=args.seed, split="test")
    others, yardstick = real_set(dataset, count=len(prompts), least=2, seconds=asked, seed=args.seed, split="valid")
    return [(pieces, texts)], takes_of(yardstick, others), pieces


def _floor(
    name: str,
    plan: Plan,
    ceiling: Sequence[tuple[Pieces, Sequence[Prompt]]],
    pieces: Pieces | None,
    seed: int,
) -> list[Entrant]:
    """One of `BESIDE`. Real and shuffled music answer prompts of their own, the others those of the run.

    Pieces that are there already are asked for no length.
    """
    if name == "random":
        return [Entrant(system=RandomGrammar(), plan=plan)]
    if name == "mismatched" and pieces is not None:
        single = Plan(prompts=plan.prompts, seed=plan.seed)
        return [Entrant(system=mismatched(pieces, plan.prompts, seed=seed), plan=single)]
    return [
        Entrant(
            system=real if name == "real" else shuffled(real, seed=seed),
            plan=Plan(prompts=tuple(prompts), seed=plan.seed),
        )
        for real, prompts in ceiling
    ]


def _paper_set(args: argparse.Namespace) -> tuple[list[Prompt], Pieces]:
    """The prompts and pieces of the paper's protocol. Raises `RequestError` with all that is missing for it."""
    from midi_llm.evaluate.systems.midicaps import midicaps_set, read_ids

    missing = [what for name, what in PAPER_NEEDS if getattr(args, name) is None]
    if missing:
        raise RequestError(f"--preset {PAPER} also needs {'; '.join(missing)}; see docs/evaluation.md")
    if args.prompts is not None or args.data is not None:
        raise RequestError(f"--preset {PAPER} has its own prompts and pieces; leave --prompts and --data out")
    ids = read_ids(args.ids)
    return midicaps_set(args.midicaps, ids[: args.limit])


def _seconds(args: argparse.Namespace) -> float | None:
    """The length asked for: none in the paper's protocol, without a grammar, and of files, unless it is given."""
    if args.seconds is not None:
        return None if args.seconds == "auto" else float(args.seconds)
    asks = args.preset is None and not args.no_grammar and args.files is None and args.text2midi is None
    return args.default_seconds if asks else None


def _check_wishes(args: argparse.Namespace, seconds: float | None) -> None:
    """Raise `RequestError` for what every single take would be refused for."""
    from midi_llm.compose.settings import Settings

    Settings(
        seconds=seconds or "auto",
        seed=args.seed,
        temperature=args.temperature,
        top_p=args.top_p,
        guidance=args.guidance,
    )
    if args.no_grammar and seconds is not None:
        raise RequestError(
            "--no-grammar and --seconds do not go together: without the grammar no length can be asked for"
        )
    if args.race is not None and (args.files is not None or args.text2midi is not None):
        raise RequestError("--race needs a model of this package; files and Text2midi have no engine here")
    if args.limit is not None and args.limit < 1:
        raise RequestError(f"--limit is {args.limit}; allowed is 1 or more")


def _takes(system: System, args: argparse.Namespace) -> int:
    """Of files: as many as every prompt has, unless fewer are asked for."""
    there = getattr(system, "takes", None)
    if args.takes is None:
        return there or 1
    if there is not None and args.takes > there:
        raise RequestError(f"--takes is {args.takes}; the files hold {there} of every prompt")
    return int(args.takes)


def _beside(names: str | None, *, has_data: bool) -> list[str]:
    """Names of `BESIDE`; "none" is nothing, and what is not said is all that can be had."""
    if names is None:
        return [name for name in BESIDE if has_data or name not in NEED_DATA]
    chosen = [] if names == "none" else [name.strip() for name in names.split(",")]
    wrong = next((name for name in chosen if name not in BESIDE), None)
    if wrong is not None or len(set(chosen)) < len(chosen):
        raise RequestError(f"--beside is {names!r}; allowed are {', '.join(BESIDE)}, each once, with commas, or none")
    lacking = [name for name in chosen if name in NEED_DATA and not has_data]
    if lacking:
        raise RequestError(f"--beside {', '.join(lacking)} needs real music; give a data set with --data DIR")
    return chosen


def _system_name(args: argparse.Namespace, default: str) -> str:
    """Names a folder and a column: letters, digits, `_`, `.`, `-`, and none of the names beside it."""
    name = _NAME.sub("-", args.name or default).strip("-.") or "model"
    if name in BESIDE:
        raise RequestError(f"the system's name is {name!r}, as one of {', '.join(BESIDE)}; choose another with --name")
    return name
