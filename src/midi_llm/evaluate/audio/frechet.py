"""Fréchet audio distance: how far the Gaussian of one set of embeddings is from that of another.

In: features [n, d] of a generated and of a reference set. Out: FAD and FAD-infinity, real and in the squared unit of
the features. Sources: Kilgour et al. 2019, "Fréchet Audio Distance" (FAD); Gui et al. 2024, "Adapting Fréchet Audio
Distance for Generative Music Evaluation" (FAD-infinity). FAD grows as 1/n when there are fewer samples, so that sets of
different size cannot be compared; FAD-infinity takes that part off. Knows no sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Floats, Integers, Metric

FAD = Metric(
    name="audio.fad",
    unit="",
    better="lower",
    about="Fréchet distance of the embeddings of the sound from those of real music; grows when there are fewer.",
)
FAD_INFINITY = Metric(
    name="audio.fad_infinity",
    unit="",
    better="lower",
    about="FAD extrapolated to endlessly many takes; may be below 0 by chance where it is near 0.",
)

PARTS = 3
"""FAD is taken of the whole generated set, of its halves and of its thirds: three points on the line over 1/n."""
FEWEST_GROUPS = 2 * PARTS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Gaussian:
    """Mean [d], covariance [d, d] and its symmetric root [d, d] of a set of `count` features."""

    mean: Floats
    covariance: Floats
    root: Floats
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Extrapolation:
    """FAD-infinity: the line through `distances` over 1/n at 1/n = 0, and how well it fits."""

    value: float
    r_squared: float
    """1 - (residuals / variance) of the fit; near 1 where FAD does grow as 1/n."""
    sizes: tuple[float, ...]
    """n: mean number of features in the whole set, its halves, its thirds."""
    distances: tuple[float, ...]
    """Mean FAD of them."""


def frechet_audio_distance(generated: Floats, reference: Floats) -> float:
    """FAD of features [n, d] from features [m, d]: |mu1 - mu2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)), 0 or more.

    Raises `RequestError` for fewer than two rows, other shapes, and rows that are not finite. Differences from fadtk
    (microsoft/fadtk at 09d8564):

    1. The trace of (C1 C2)^(1/2) comes from the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric: nothing
       imaginary has to be dropped, and no 1e-6 is added to singular covariances.
    2. fadtk rounds embeddings to 16 bits before; here they are used as they come, in 64 bits.
    """
    return distance_to(gaussian(reference, "reference"), generated)


def gaussian(features: Floats, name: str = "features") -> Gaussian:
    """The Gaussian of features [n, d]. Raises `RequestError` as `frechet_audio_distance`."""
    check_features(features, name)
    centred = features - features.mean(axis=0)
    covariance = centred.T @ centred / (len(features) - 1)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return Gaussian(mean=features.mean(axis=0), covariance=covariance, root=root, count=len(features))


def distance_to(reference: Gaussian, features: Floats) -> float:
    """FAD of features [n, d] from a set whose Gaussian is known. Raises `RequestError` as `frechet_audio_distance`."""
    check_features(features, "generated")
    if features.shape[1] != len(reference.mean):
        raise RequestError(
            f"the generated set has {features.shape[1]} dimensions and the reference {len(reference.mean)}; one ear"
            " must hear both"
        )
    mean = features.mean(axis=0)
    centred = features - mean
    spread = float((centred**2).sum()) / (len(features) - 1)
    shift = float(((mean - reference.mean) ** 2).sum())
    distance = shift + float(np.trace(reference.covariance)) + spread - 2 * _root_trace(reference.root, centred)
    return max(distance, 0.0)


def _root_trace(root: Floats, centred: Floats) -> float:
    """Trace of the root of root C root, C being the covariance of `centred` [n, d]: sum of the roots of eigenvalues.

    They are also the eigenvalues of an [n, n] matrix, smaller where n < d. What is 0 but for rounding is made 0: there
    may be hundreds of such values, and the root of 1e-16 is 1e-8.
    """
    mixed = centred @ root
    gram = mixed @ mixed.T if len(mixed) < mixed.shape[1] else mixed.T @ mixed
    values = np.linalg.eigvalsh(gram / (len(centred) - 1))
    least = values[-1] * len(values) * np.finfo(np.float64).eps
    return float(np.sqrt(values[values > least]).sum())


def check_features(features: Floats, name: str) -> None:
    """Raise `RequestError` unless `features` are at least two rows of finite numbers."""
    if features.ndim != 2 or len(features) < 2 or not features.shape[1]:
        raise RequestError(
            f"the {name} set has features of shape {features.shape}; a covariance takes at least two rows"
        )
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(broken):
        rows = ", ".join(str(row) for row in broken[:5].tolist())
        raise RequestError(
            f"{len(broken)} of {len(features)} rows of the {name} set are nan or infinite (row {rows}); leave them out"
        )


def fad_infinity(
    generated: Floats, reference: Floats | Gaussian, groups: Integers | None = None, *, seed: int = 0
) -> Extrapolation | None:
    """FAD of endlessly many features like `generated` [n, d] from the reference as it is.

    `groups` [n] numbers what each row belongs to (its prompt); None: every row stands alone. None is returned with
    fewer than `FEWEST_GROUPS` groups. Raises `RequestError` as `frechet_audio_distance`. Taken over from Gui et al.:
    FAD at several n, a straight line over 1/n, its value at 0, and that only the generated set is cut: what a small
    reference adds to FAD stays in, for all systems of a run alike. Differences:

    1. fadtk draws n rows with replacement. Then the line leads to the FAD of the very set that is drawn from, not of
       what it is a sample of: most of the excess stays. Here the set is cut into parts, so that no row is drawn twice.
    2. fadtk takes 25 n from 500 rows up, one draw each; here n is the whole set, half of it and a third, and each row
       counts once at each n: less is left to chance, and sets below 500 rows have a value. Which rows go together is
       drawn by `seed`.
    3. Groups are not torn apart. Windows of one take are alike: half of the windows of every take know nearly as much
       as all of them, and FAD would hardly grow as they get fewer.
    """
    known = reference if isinstance(reference, Gaussian) else gaussian(reference, "reference")
    check_features(generated, "generated")
    names, which = np.unique(np.arange(len(generated)) if groups is None else groups, return_inverse=True)
    if len(names) < FEWEST_GROUPS:
        return None
    order = np.random.default_rng(seed).permutation(len(names))
    distances = []
    for parts in range(1, PARTS + 1):
        members = [np.isin(which, part) for part in np.array_split(order, parts)]
        distances.append(float(np.mean([distance_to(known, generated[member]) for member in members])))
    value, r_squared = _at_zero(np.arange(1.0, PARTS + 1), np.array(distances))
    sizes = tuple(len(generated) / parts for parts in range(1, PARTS + 1))
    return Extrapolation(value=value, r_squared=r_squared, sizes=sizes, distances=tuple(distances))


def _at_zero(x: Floats, y: Floats) -> tuple[float, float]:
    """Value at 0 of the least-squares line of y [n] over x [n], and its R^2 (1 where y does not vary)."""
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    value = float(y.mean() - slope * x.mean())
    total = float(((y - y.mean()) ** 2).sum())
    residuals = float(((y - value - slope * x) ** 2).sum())
    return value, 1 - residuals / total if total > 0 else 1.0


def sample_warnings(generated: int, reference: int, dimensions: int) -> tuple[str, ...]:
    """What must be said of FAD between so many features of so many dimensions."""
    counts = (("generated", generated), ("reference", reference))
    found: list[str] = [
        f"{name} set: {count} windows in {dimensions} dimensions: the covariance is singular and FAD is biased upwards;"
        " compare it only between sets of equally many windows"
        for name, count in counts
        if count <= dimensions
    ]
    if generated // PARTS <= dimensions < generated:
        found.append(
            f"generated set: {generated} windows: a third of them does not fill {dimensions} dimensions;"
            " FAD-infinity is not to be relied on"
        )
    return tuple(found)
