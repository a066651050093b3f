"""FAD, FAD-infinity and KAD of one set of takes from another, with intervals and all that the numbers rest on.

In: two sets that one ear heard. Out: three `Result`s. The samples are windows; a set of 900 takes of 30 s has 2,700.
Intervals are of half-samples of prompts and of reference pieces (`half_samples`), not of windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.audio import frechet, kernel
from midi_llm.evaluate.audio.half_samples import FEWEST, half_sample_intervals
from midi_llm.evaluate.audio.heard import Heard, check_heard, ear_facts, heard_facts
from midi_llm.evaluate.metric import Integers, Metric, Result

Facts = Mapping[str, str | float | int]


def validate(generated: Heard, reference: Heard, groups: Integers) -> tuple[str, ...]:
    """Warnings about takes left out, few windows for the dimensions, and few prompts or pieces for an interval.

    Raises `RequestError` for sets that different ears heard, vectors that are not finite (naming the takes), fewer than
    two windows in a set, and `groups` that are not one a take.
    """
    if (generated.ear, generated.sample_rate) != (reference.ear, reference.sample_rate):
        raise RequestError(
            f"the generated set was heard by {generated.ear} and the reference by {reference.ear}; hear both with one"
        )
    if len(groups) != len(generated.names):
        raise RequestError(f"there are {len(groups)} groups for {len(generated.names)} takes; give one for each")
    dimensions = generated.embeddings.shape[1]
    few = frechet.sample_warnings(len(generated.embeddings), len(reference.embeddings), dimensions)
    return (*_check_sets(generated, reference, groups), *few)


def _check_sets(generated: Heard, reference: Heard, groups: Integers) -> tuple[str, ...]:
    """What concerns KAD too."""
    warnings = [*check_heard(generated, "generated"), *check_heard(reference, "reference")]
    counts = (("prompts", np.unique(groups[generated.take])), ("reference pieces", np.unique(reference.take)))
    warnings += [
        f"{len(found)} {name} have sound: no interval can be given for FAD and KAD below {FEWEST}"
        for name, found in counts
        if len(found) < FEWEST
    ]
    return tuple(warnings)


def compare(
    generated: Heard, reference: Heard, groups: Integers, *, seed: int = 0, facts: Facts | None = None
) -> list[Result]:
    """`audio.fad`, `audio.fad_infinity` and `audio.kad` of the generated set. Raises `RequestError` as `validate`.

    `groups` [takes] numbers the prompt of each generated take, as for `metric.summarise`; each reference take stands
    alone. `facts` come from the caller (sound font, ...) and are added to those of the sets. FAD-infinity has no value
    with fewer than `frechet.FEWEST_GROUPS` prompts.
    """
    warnings = validate(generated, reference, groups)
    common = {**(facts or {}), **ear_facts(generated), **heard_facts(generated)}
    common |= heard_facts(reference, "reference_") | {"interval": "half-samples"}
    prompt = np.unique(groups[generated.take], return_inverse=True)[1].astype(np.int64)
    piece = np.unique(reference.take, return_inverse=True)[1].astype(np.int64)
    return [
        *_frechet(generated, reference, (prompt, piece), seed, common, warnings),
        _kernel(generated, reference, (prompt, piece), seed, common, _check_sets(generated, reference, groups)),
    ]


def _frechet(
    generated: Heard,
    reference: Heard,
    groups: tuple[Integers, Integers],
    seed: int,
    facts: Facts,
    warnings: tuple[str, ...],
) -> list[Result]:
    """FAD and FAD-infinity; the second is nan, with a warning, where there are too few prompts."""
    prompt, piece = groups
    known = frechet.gaussian(reference.embeddings)
    fad = frechet.distance_to(known, generated.embeddings)
    found = frechet.fad_infinity(generated.embeddings, known, prompt, seed=seed)

    def of_halves(prompts: Integers, pieces: Integers) -> Sequence[float]:
        member = np.isin(prompt, prompts)
        half = frechet.gaussian(reference.embeddings[np.isin(piece, pieces)])
        inner = frechet.fad_infinity(generated.embeddings[member], half, prompt[member], seed=seed)
        return inner.distances[0] if inner else np.nan, inner.value if inner else np.nan

    values = (fad, found.value if found else np.nan)
    intervals = half_sample_intervals(of_halves, values, prompts=_count(prompt), pieces=_count(piece), seed=seed)
    low, high = intervals[0]
    results = [_result(frechet.FAD, fad, (float(np.maximum(low, 0.0)), high), len(prompt), facts, warnings)]
    if found is None:
        lack = f"{_count(prompt)} prompts have sound: FAD-infinity takes at least {frechet.FEWEST_GROUPS}"
        nothing = (float("nan"), float("nan"))
        return [*results, _result(frechet.FAD_INFINITY, np.nan, nothing, 0, facts, (*warnings, lack))]
    fit: dict[str, str | float | int] = {"r_squared": found.r_squared, "smallest_n": found.sizes[-1]}
    return [
        *results,
        _result(frechet.FAD_INFINITY, found.value, intervals[1], len(prompt), {**facts, **fit}, warnings),
    ]


def _kernel(
    generated: Heard,
    reference: Heard,
    groups: tuple[Integers, Integers],
    seed: int,
    facts: Facts,
    warnings: tuple[str, ...],
) -> Result:
    """KAD; the kernel stays as wide as the whole reference set makes it."""
    prompt, piece = groups
    sigma = kernel.bandwidth(reference.embeddings)
    sums = kernel.kernel_sums(generated.embeddings, reference.embeddings, prompt, piece, sigma=sigma)
    prompts, pieces = _count(prompt), _count(piece)
    kad = kernel.distance(sums, np.arange(prompts), np.arange(pieces))
    [interval] = half_sample_intervals(
        lambda some, others: (kernel.distance(sums, some, others),), (kad,), prompts=prompts, pieces=pieces, seed=seed
    )
    return _result(kernel.KAD, kad, interval, len(prompt), {**facts, "sigma": sigma}, warnings)


def _count(groups: Integers) -> int:
    """Groups numbered from 0 on."""
    return int(groups.max()) + 1


def _result(
    metric: Metric, value: float, interval: tuple[float, float], count: int, facts: Facts, warnings: tuple[str, ...]
) -> Result:
    low, high = interval
    return Result(metric=metric, value=value, low=low, high=high, count=count, facts=facts, warnings=warnings)
