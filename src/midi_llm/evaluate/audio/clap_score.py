"""CLAP score: whether the sound of a take is near its prompt, in a space where texts and sounds have vectors.

In: a set as an ear heard it that also hears texts, and the prompts. Out: a cosine a take, -1 to 1 (Wu et al. 2023,
"Large-scale contrastive language-audio pretraining"). MIDI-LLM's paper prints 100 times the mean, Text2midi's the mean
itself, as here. A score holds for one CLAP model only, and tells styles and moods better than keys and tempi.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.audio.ears import TextEar
from midi_llm.evaluate.audio.heard import Heard, check_heard, ear_facts, heard_facts, unit
from midi_llm.evaluate.metric import Floats, Integers, Measured, Metric, Result, summarise

CLAP_SCORE = Metric(
    name="audio.clap_score",
    unit="",
    better="higher",
    about="Cosine (-1 to 1) of the embeddings of prompt and sound, mean over the takes; papers print 100 times it.",
)


def clap_score(heard: Heard, texts: Floats) -> Measured:
    """Cosine of each take and its text: vectors [takes, d], of any length; nan for takes left out.

    A take's vector is the mean of its windows' (`Heard.means`). Raises `RequestError` for other shapes.
    """
    if texts.shape != (len(heard.names), heard.embeddings.shape[1]):
        raise RequestError(
            f"the texts have vectors of shape {texts.shape}, the takes of ({len(heard.names)},"
            f" {heard.embeddings.shape[1]}); give one a take, of the same ear"
        )
    return Measured(metric=CLAP_SCORE, values=(heard.means() * unit(texts)).sum(axis=1))


def rate(
    heard: Heard,
    texts: Sequence[str],
    ear: TextEar,
    groups: Integers,
    *,
    seed: int = 0,
    facts: Mapping[str, str | float | int] | None = None,
) -> Result:
    """The mean CLAP score of takes and their prompts, with the interval of `metric.summarise`.

    Raises `RequestError` when another ear heard the takes, for vectors that are not finite (naming the takes), and
    when no take has sound.
    """
    if heard.ear != ear.id:
        raise RequestError(f"the takes were heard by {heard.ear} and the texts would be by {ear.id}; take one ear")
    warnings = check_heard(heard, "generated", least=1)
    if not len(texts) == len(groups) == len(heard.names):
        raise RequestError(
            f"{len(heard.names)} takes have {len(texts)} texts and {len(groups)} groups; give one a take"
        )
    different = sorted(set(texts))
    vectors = ear.embed_texts(different)
    if not np.isfinite(vectors).all():
        raise RequestError(f"{ear.id} gives vectors of texts that are nan or infinite; its weights are broken")
    place = {text: number for number, text in enumerate(different)}
    measured = clap_score(heard, vectors[[place[text] for text in texts]])
    known = {**(facts or {}), **ear_facts(heard), **heard_facts(heard), "texts": len(different)}
    return replace(summarise(measured, groups, seed=seed, facts=known), warnings=warnings)
