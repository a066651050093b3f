"""Key: whether a take is in the key or the mode that its prompt names.

Conventions: keys are those of `music.key.KEYS`, with flats. One key is estimated for the whole take (`music.key`),
never told what was asked for; how often it errs is known (`evaluate.estimators`). Without a pitched note there is no
key: 0. Sources: Text2midi (Bhandari et al. 2025, AAAI) reports CK and CKD, which Mustango (Melechovsky et al. 2024)
defines; its utils/evaluate_control_testB.py at 5f615ef shows how. Text2midi's own code for them is not public.
In: `Wish`es. Out: a value a take.
"""

from __future__ import annotations

from collections.abc import Sequence

from midi_llm.evaluate.control.wish import Wish, control_metric, judge
from midi_llm.evaluate.metric import Measured
from midi_llm.music.key import KEYS, estimate_key

KEY = control_metric("key", "CK: takes in the key asked for, tonic and mode.")
KEY_OR_RELATIVE = control_metric("key_or_relative", "CKD: takes in the key asked for or its relative one.")
MODE = control_metric("mode", "Takes in major or minor as asked for.")


def evaluate(asked: Sequence[Wish]) -> list[Measured]:
    """All metrics of the key, a value a take."""
    return [
        judge(KEY, asked, lambda wish: _holds(wish.facts.key, _found(wish))),
        judge(KEY_OR_RELATIVE, asked, _key_or_relative),
        judge(MODE, asked, lambda wish: _holds(wish.facts.mode, _found(wish).partition(" ")[2])),
    ]


def same_or_relative(asked: str, found: str) -> bool:
    """Whether two keys are equal or have the same notes, as C major and A minor.

    1. Mustango's code looks for the relative key in the wrong direction: for A minor it accepts F# major (Gb major
       here), and not C major. Its CKD is CK and chance. Whether Text2midi's has the same fault is not known.
    2. Text2midi compares with the key of a reference piece, here with the key that the prompt states; the estimator
       there is that of music21, here `music.key`.
    """
    return found in (asked, relative(asked))


def relative(key: str) -> str:
    """The relative minor of a major key, the relative major of a minor one."""
    tonic, minor = KEYS.index(key) % 12, KEYS.index(key) >= 12
    return KEYS[(tonic + 3) % 12] if minor else KEYS[12 + (tonic - 3) % 12]


def _found(wish: Wish) -> str:
    """The estimated key; empty without a pitched note."""
    return estimate_key(wish.notes)[0] if len(wish.notes.pitched()) else ""


def _holds(asked: str | None, found: str) -> float | None:
    return float(asked == found) if asked is not None else None


def _key_or_relative(wish: Wish) -> float | None:
    key = wish.facts.key
    return float(same_or_relative(key, _found(wish))) if key is not None else None
