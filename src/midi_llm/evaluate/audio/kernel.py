"""Kernel audio distance: how far two sets of embeddings are apart, without taking either for a Gaussian.

In: features [n, d] of a generated and of a reference set. Out: KAD = 100 times the unbiased MMD^2 with a Gaussian
kernel: 0 on average for equal distributions (below 0 by chance), whatever the number of samples. Source: Chung et al.
2025, "KAD: No More FAD! An Effective and Efficient Evaluation Metric for Audio Generation". Knows no sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.audio.frechet import check_features
from midi_llm.evaluate.metric import Floats, Integers, Metric

KAD = Metric(
    name="audio.kad",
    unit="",
    better="lower",
    about="Kernel distance (100 x MMD^2) of the embeddings of the sound from those of real music; 0 is alike.",
)

SCALE = 100.0
"""The paper's factor, for legible numbers."""
LEAST_BANDWIDTH = 1e-6
"""Share of the length of the vectors below which a distance is rounding; networks compute in 32 bits."""
_ROWS = 1024
"""Rows of a kernel matrix that are held at once."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KernelSums:
    """Sums of the kernel over the pairs of rows of two groups; no row is paired with itself.

    From these KAD is known for any choice of groups without another kernel value.
    """

    within: Floats
    """[g, g]: both rows of the generated set."""
    across: Floats
    """[g, r]: a row of the generated and one of the reference set."""
    apart: Floats
    """[r, r]: both rows of the reference set."""
    generated_sizes: Integers
    """Rows of each group [g]."""
    reference_sizes: Integers
    """Rows of each group [r]."""


def kernel_audio_distance(generated: Floats, reference: Floats, *, sigma: float | None = None) -> float:
    """KAD of features [n, d] from features [m, d]; `sigma` of the kernel is `bandwidth` of the reference if None.

    The kernel is exp(-gamma |x - y|^2) with gamma = 1 / (2 sigma^2). Raises `RequestError` for fewer than two rows,
    other shapes, and rows that are not finite. Differences from kadtk (YoonjinXD/kadtk, kad.py):

    1. Sigma is the median distance of the reference set, as the paper has it, so that all systems are measured with one
       kernel; kadtk's code takes it from its second set, which is the evaluated one, and from 1,000 pairs drawn at
       random. Here all pairs count.
    2. 64 bits, not 32, and nothing is added to 2 sigma^2.
    """
    chosen = bandwidth(reference) if sigma is None else sigma
    sums = kernel_sums(
        generated, reference, np.zeros(len(generated), np.int64), np.zeros(len(reference), np.int64), sigma=chosen
    )
    return distance(sums, np.arange(1), np.arange(1))


def bandwidth(reference: Floats) -> float:
    """Median Euclidean distance of all pairs of different rows of `reference` [m, d].

    Raises `RequestError` where it is 0 but for rounding: more than half of the pairs are equal.
    """
    check_features(reference, "reference")
    centred = reference - reference.mean(axis=0)
    distances = []
    for start in range(0, len(centred), _ROWS):
        block = _squared_distances(centred[start : start + _ROWS], centred[start:])
        distances.append(np.sqrt(block[np.triu_indices(len(block), 1, block.shape[1])]))
    median = float(np.median(np.concatenate(distances)))
    if median <= LEAST_BANDWIDTH * float(np.sqrt((reference**2).sum(axis=1).mean())):
        raise RequestError("most windows of the reference set sound exactly alike; KAD needs a reference that varies")
    return median


def kernel_sums(
    generated: Floats, reference: Floats, generated_groups: Integers, reference_groups: Integers, *, sigma: float
) -> KernelSums:
    """Sums by group: `generated_groups` [n] and `reference_groups` [m] number the groups of the rows, from 0 on.

    Raises `RequestError` as `kernel_audio_distance`.
    """
    check_features(generated, "generated")
    check_features(reference, "reference")
    if generated.shape[1] != reference.shape[1]:
        raise RequestError(
            f"the generated set has {generated.shape[1]} dimensions and the reference {reference.shape[1]}; one ear"
            " must hear both"
        )
    gamma = 1 / (2 * sigma**2)
    middle = reference.mean(axis=0)
    x, y = generated - middle, reference - middle
    left, right = (np.bincount(groups) for groups in (generated_groups, reference_groups))
    return KernelSums(
        within=_group_sums(x, x, generated_groups, generated_groups, gamma) - np.diag(left),
        across=_group_sums(x, y, generated_groups, reference_groups, gamma),
        apart=_group_sums(y, y, reference_groups, reference_groups, gamma) - np.diag(right),
        generated_sizes=left,
        reference_sizes=right,
    )


def distance(sums: KernelSums, generated: Integers, reference: Integers) -> float:
    """KAD of the chosen groups; each must hold at least two rows in all."""
    n, m = int(sums.generated_sizes[generated].sum()), int(sums.reference_sizes[reference].sum())
    within = float(sums.within[np.ix_(generated, generated)].sum()) / (n * (n - 1))
    apart = float(sums.apart[np.ix_(reference, reference)].sum()) / (m * (m - 1))
    across = float(sums.across[np.ix_(generated, reference)].sum()) / (n * m)
    return SCALE * (within + apart - 2 * across)


def _group_sums(left: Floats, right: Floats, left_groups: Integers, right_groups: Integers, gamma: float) -> Floats:
    """Kernel values of all pairs of rows of `left` and `right`, added up by group [groups, groups]."""
    sums = np.zeros((int(left_groups.max()) + 1, int(right_groups.max()) + 1))
    member = np.eye(sums.shape[1])[right_groups]  # [m, groups]
    for start in range(0, len(left), _ROWS):
        rows = slice(start, start + _ROWS)
        kernel = np.exp(-gamma * _squared_distances(left[rows], right))
        np.add.at(sums, left_groups[rows], kernel @ member)
    return sums


def _squared_distances(left: Floats, right: Floats) -> Floats:
    """Squared distances [n, m] of rows [n, d] and [m, d] that lie around 0."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.asarray(np.maximum(squares, 0.0))
