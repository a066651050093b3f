"""Takes composed, kept on disk, and read back: a run that was stopped goes on where it was.

In: a `System`, prompts, a folder. Out: `Take`s whose score is the MIDI file of the folder, read again. A set's folder
holds set.json (what the takes follow from), takes.jsonl (one line a delivery, in order) and the files. A file is whole
before its line is written, and a prompt whose takes are not all there is composed again from its first, so that takes
that are composed side by side are the same after a stop as without one.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midi_llm.data.files import check_same, write_whole
from midi_llm.errors import MidiReadError, RequestError
from midi_llm.evaluate.prompts import Prompt, prompt_to_json
from midi_llm.evaluate.systems.base import Delivery, Job, System
from midi_llm.evaluate.take import Take
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

SET_FILE, LOG_FILE = "set.json", "takes.jsonl"
VERSION = 1
MAX_TAKES = 64
_SEEDS = 1 << 31


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is asked of every system of a run."""

    prompts: tuple[Prompt, ...]
    takes: int = 1
    seed: int = 0
    seconds: float | None = None
    """Length asked for beside the prompt; None: left to the system."""


def plan_jobs(plan: Plan) -> list[Job]:
    """One job a take, prompt by prompt. Raises `RequestError` for no prompt, or takes out of range.

    A take's seed follows from the run's seed and the prompt's id: other prompts in the file do not move it. The takes
    of a prompt have seeds in a row, so that a system may compose them side by side.
    """
    if not plan.prompts or not 1 <= plan.takes <= MAX_TAKES:
        raise RequestError(
            f"{len(plan.prompts)} prompts and {plan.takes} takes were asked for; allowed are 1 prompt or more, and 1 to"
            f" {MAX_TAKES} takes of each"
        )
    return [
        Job(prompt=prompt, number=number, seed=_first_seed(plan.seed, prompt.id) + number, seconds=plan.seconds)
        for prompt in plan.prompts
        for number in range(plan.takes)
    ]


def prompts_sha256(prompts: Sequence[Prompt]) -> str:
    """Digest of ids, texts and facts: the same prompts in the same order have the same one."""
    lines = [json.dumps(prompt_to_json(prompt), sort_keys=True, ensure_ascii=False) for prompt in prompts]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def compose_takes(
    system: System, plan: Plan, folder: Path, *, on_take: Callable[[Take], None] | None = None
) -> list[Take]:
    """All takes of `plan` by `system`, in order; those that `folder` holds already are read and not composed again.

    `on_take` is called after each. A take that a system fails on, and a file that does not parse, carry the reason.
    Raises `DatasetError` when the folder was begun with another system, other prompts or another plan, and when it
    cannot be written.
    """
    jobs = plan_jobs(plan)
    check_same(
        folder / SET_FILE,
        {
            "version": VERSION,
            "system": system.describe(),
            "prompts": prompts_sha256(plan.prompts),
            "takes": plan.takes,
            "seed": plan.seed,
            "seconds": plan.seconds,
        },
    )
    log = _kept_lines(folder / LOG_FILE, jobs, plan.takes)
    takes = []
    for job, line in zip(jobs, log, strict=False):
        takes.append(_take(job, line, folder))
        if on_take is not None:
            on_take(takes[-1])
    with (folder / LOG_FILE).open("ab") as file:
        for job, delivery in zip(jobs[len(log) :], _deliveries(system, jobs[len(log) :]), strict=True):
            line = _line(job, delivery)
            if delivery.midi:
                midi = delivery.midi
                write_whole({folder / line["file"]: lambda out, midi=midi: out.write(midi)})  # type: ignore[misc]
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
            takes.append(_take(job, line, folder))
            if on_take is not None:
                on_take(takes[-1])
    return takes


def _first_seed(seed: int, prompt_id: str) -> int:
    return zlib.crc32(f"{seed}/{prompt_id}".encode()) % (_SEEDS - MAX_TAKES)


def _deliveries(system: System, jobs: Sequence[Job]) -> Iterator[Delivery]:
    return iter(system.compose(jobs)) if jobs else iter(())


def _kept_lines(path: Path, jobs: Sequence[Job], takes: int) -> list[dict[str, Any]]:
    """The lines of whole prompts at the beginning of the log; what follows them is cut off the file."""
    try:
        raw = path.read_bytes().split(b"\n")[:-1]  # a line without its end was cut by a stop
    except FileNotFoundError:
        raw = []
    lines: list[dict[str, Any]] = []
    for job, text in zip(jobs, raw, strict=False):
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or (line.get("prompt"), line.get("number")) != (job.prompt.id, job.number):
            break
        lines.append(line)
    lines = lines[: len(lines) // takes * takes]
    if raw:
        whole = b"".join(text + b"\n" for text in raw[: len(lines)])
        write_whole({path: lambda out: out.write(whole)})
    return lines


def _line(job: Job, delivery: Delivery) -> dict[str, Any]:
    """A delivery without its music, as the log has it."""
    return {
        "prompt": job.prompt.id,
        "number": job.number,
        "file": f"{job.prompt.id}-{job.number}.mid" if delivery.midi else None,
        "seed": delivery.seed,
        "strict": delivery.strict,
        "repairs": dict(delivery.repairs),
        "ending": delivery.ending,
        "tokens": delivery.tokens,
        "wall_seconds": delivery.wall_seconds,
        "error": delivery.error,
    }


def _take(job: Job, line: dict[str, Any], folder: Path) -> Take:
    """The take of a line, with its file read again."""
    path = folder / line["file"] if line["file"] else None
    score, error = Score(), line["error"]
    if path is None:
        error = error or "nothing was delivered"
    elif error is None:
        try:
            score = parse_midi(path.read_bytes(), name=path.name)
        except MidiReadError as found:
            error = str(found)
        except OSError as found:
            raise RequestError(
                f"{path} is in the log of takes and cannot be read ({found.strerror}); delete {folder / LOG_FILE} and"
                " run again"
            ) from found
    return Take(
        prompt=job.prompt,
        number=job.number,
        score=score,
        seed=line["seed"],
        seconds_asked=job.seconds,
        strict=line["strict"],
        repairs=line["repairs"],
        ending=line["ending"],
        tokens=line["tokens"],
        wall_seconds=line["wall_seconds"],
        error=error,
        path=path,
    )
