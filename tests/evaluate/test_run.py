"""Takes on disk: complete, repeatable, and continued after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from midi_llm.errors import DatasetError, RequestError
from midi_llm.evaluate.prompts import Prompt, PromptFacts
from midi_llm.evaluate.run import LOG_FILE, MAX_TAKES, SET_FILE, Plan, compose_takes, plan_jobs, prompts_sha256
from midi_llm.evaluate.systems.base import JSON, Delivery, Job
from midi_llm.evaluate.systems.floor import RandomGrammar
from midi_llm.evaluate.take import Take

PROMPTS = tuple(Prompt(id=f"p{number}", text=f"tune {number}") for number in range(4))


class StoppedError(Exception):
    """What ends a run in these tests."""


@dataclass
class Counting:
    """`RandomGrammar` that counts its takes, and stops the run before take `stop`; p2 fails."""

    stop: int = 99
    name: str = "counting"
    composed: list[tuple[str, int]] = field(default_factory=list)

    def describe(self) -> dict[str, JSON]:
        return {"kind": self.name}

    def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
        for job in jobs:
            if len(self.composed) == self.stop:
                raise StoppedError
            self.composed.append((job.prompt.id, job.number))
            if job.prompt.id == "p2":
                yield Delivery(error="no idea", seed=job.seed)
            else:
                yield from RandomGrammar().compose([job])

    def close(self) -> None:
        """Nothing is held."""


def plan(*, takes: int = 2, seed: int = 0, seconds: float | None = 2.0) -> Plan:
    return Plan(prompts=PROMPTS, takes=takes, seed=seed, seconds=seconds)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def summary(takes: Sequence[Take]) -> list[tuple[object, ...]]:
    return [(t.prompt.id, t.number, t.seed, t.error, t.strict, t.ending, t.score.note_count) for t in takes]


def test_every_prompt_has_its_takes_with_files_and_seeds(tmp_path: Path) -> None:
    seen: list[Take] = []
    takes = compose_takes(Counting(), plan(), tmp_path / "set", on_take=seen.append)
    assert [(take.prompt.id, take.number) for take in takes] == [(p.id, n) for p in PROMPTS for n in (0, 1)]
    assert seen == takes
    for take in takes:
        if take.prompt.id == "p2":
            assert (take.error, take.path, take.score.note_count) == ("no idea", None, 0)
        else:
            assert take.path is not None
            assert take.path.is_file()
            assert (take.error, take.seconds_asked, take.strict) == (None, 2.0, True)
            assert take.score.note_count > 0
    assert takes[1].seed == (takes[0].seed or 0) + 1


@pytest.mark.parametrize("stop", range(8))
def test_a_run_that_was_stopped_goes_on_to_the_same_files(stop: int, tmp_path: Path) -> None:
    whole = compose_takes(Counting(), plan(), tmp_path / "whole")
    with pytest.raises(StoppedError):
        compose_takes(Counting(stop=stop), plan(), tmp_path / "cut")
    going_on = Counting()
    takes = compose_takes(going_on, plan(), tmp_path / "cut")
    assert summary(takes) == summary(whole)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert len(going_on.composed) == 8 - stop // 2 * 2  # a prompt that was cut is composed again from its first take


def test_a_finished_run_composes_nothing_again(tmp_path: Path) -> None:
    first = compose_takes(Counting(), plan(), tmp_path / "set")
    again = Counting()
    assert summary(compose_takes(again, plan(), tmp_path / "set")) == summary(first)
    assert again.composed == []


def test_a_line_that_was_cut_or_is_damaged_is_composed_again(tmp_path: Path) -> None:
    compose_takes(Counting(), plan(), tmp_path)
    whole = content(tmp_path)
    log = tmp_path / LOG_FILE
    for damaged in (whole[LOG_FILE][:-7], whole[LOG_FILE].replace(b'"p1"', b'"px"'), b"[]\n", b"\xff\n"):
        log.write_bytes(damaged)
        compose_takes(Counting(), plan(), tmp_path)
        assert content(tmp_path) == whole


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    compose_takes(Counting(), plan(), tmp_path / "set")
    for other in (plan(takes=1), plan(seed=1), plan(seconds=3.0)):
        with pytest.raises(DatasetError, match="begun with other settings"):
            compose_takes(Counting(), other, tmp_path / "set")
    with pytest.raises(DatasetError, match=r"system\.kind was 'counting', is now 'other'"):
        compose_takes(Counting(name="other"), plan(), tmp_path / "set")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match=f"holds no {SET_FILE}"):
        compose_takes(Counting(), plan(), tmp_path / "full")


def test_a_file_that_was_lost_is_said(tmp_path: Path) -> None:
    takes = compose_takes(Counting(), plan(), tmp_path)
    assert takes[0].path is not None
    takes[0].path.unlink()
    with pytest.raises(RequestError, match=r"p0-0\.mid is in the log of takes and cannot be read"):
        compose_takes(Counting(), plan(), tmp_path)


def test_midi_that_does_not_parse_is_a_failed_take_and_is_kept(tmp_path: Path) -> None:
    class Broken(Counting):
        def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
            return iter([Delivery(midi=b"MThd nonsense") for _ in jobs])

    takes = compose_takes(Broken(), plan(takes=1), tmp_path)
    assert all(take.error and "p" in take.error for take in takes)
    assert (tmp_path / "p0-0.mid").read_bytes() == b"MThd nonsense"


def test_seeds_follow_from_the_run_and_the_prompt_alone() -> None:
    jobs = plan_jobs(plan())
    fewer = plan_jobs(Plan(prompts=PROMPTS[1:2], takes=3, seconds=None))
    assert [job.seed for job in fewer][:2] == [job.seed for job in jobs if job.prompt.id == "p1"]
    assert len({job.seed for job in jobs}) == len(jobs)
    assert {job.seed for job in plan_jobs(plan(seed=1))}.isdisjoint(job.seed for job in jobs)


@pytest.mark.parametrize("wrong", [Plan(prompts=()), Plan(prompts=PROMPTS, takes=0), Plan(prompts=PROMPTS, takes=65)])
def test_a_plan_out_of_range_is_refused(wrong: Plan) -> None:
    with pytest.raises(RequestError, match=f"allowed are 1 prompt or more, and 1 to {MAX_TAKES} takes"):
        plan_jobs(wrong)


def test_the_digest_of_prompts_sees_ids_texts_facts_and_order() -> None:
    one, two = PROMPTS[:2]
    others = [
        (two, one),
        (one,),
        (one, Prompt(id="p1", text="another")),
        (one, Prompt(id="p9", text=two.text)),
        (one, Prompt(id="p1", text=two.text, facts=PromptFacts(bpm=90.0))),
    ]
    digests = [prompts_sha256(found) for found in ((one, two), *others)]
    assert len(set(digests)) == len(digests)


def test_the_log_is_one_object_a_line(tmp_path: Path) -> None:
    compose_takes(Counting(), plan(), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert [line["file"] for line in lines][:6] == ["p0-0.mid", "p0-1.mid", "p1-0.mid", "p1-1.mid", None, None]
