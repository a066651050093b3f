"""What a report says, in the order in which it is said, before anybody decides how it looks.

In: a `Report`. Out: families of metrics as rows with a result for each set, footnotes, the facts that figures depend
on, warnings, failed takes. Several results of one metric are rows of their own. Knows neither Markdown nor HTML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Metric, Result
from midi_llm.evaluate.record import Report, SetReport, TakeLine
from midi_llm.evaluate.report.facts import Entry, Estimator, grouped, label_parts, labels, telling_facts
from midi_llm.evaluate.report.wording import Said, fact, family_of, plural, say_row, short_name
from midi_llm.music.instruments import instrument_name

ABOUT: Mapping[str, tuple[str, str]] = {
    "validity": ("Validity", "Whether a take is music at all: decoded, ended, as long as asked, and not stuck."),
    "control": ("Control", "Whether a take is what its prompt says. Only what the prompt states counts."),
    "tonality": ("Tonality", "How the pitches of a take hang together."),
    "rhythm": ("Rhythm", "Whether onsets keep a pulse, and bars are like their neighbours."),
    "texture": ("Texture", "How dense a take is, and how many play."),
    "repetition": ("Repetition", "Whether a take comes back to what it has played."),
    "distribution": ("Distribution", "Whether the takes of a set are like real pieces, and as varied."),
    "memorisation": ("Memorisation", "Whether takes repeat the training corpus."),
    "audio": ("Audio", "What is heard when takes are rendered to sound."),
    "speed": ("Speed", "How long takes take. RTF is seconds of music per second of wall clock: more is faster."),
}
"""Title and a sentence for each family; one that is not here is called by its name."""

KEY_FIGURES: Mapping[str, str] = {
    "validity.strict": "of the takes decode without repair",
    "validity.ended": "end by themselves or as asked",
    "control.instruments_recall": "of the instruments asked for play",
    "control.tempo_within_5_heard": "are within 5 % of the tempo asked for",
    "control.key": "are in the key asked for",
    "control.metre_heard": "are in the metre asked for",
    "distribution.overlap": "overlap with real music",
    "speed.take_rtf": "seconds of music a second",
}
"""Metrics of the system under test that stand at the top of a page, those that are there, and how they go on."""

RANKS = (
    "The rank of a take is the mean share of the other takes of its set that it beats, over the metrics that judge"
    " single takes: 1 is best."
)

COPIES = (
    "The takes with the longest melodic runs that training pieces have too, in any key and tempo, to compare by ear."
    " Varied counts what repeats within the run once; a run of many pieces is a pattern of the style."
)
COPY_COLUMNS = ("set", "prompt", "instrument", "training piece", "pieces", "take", "from second", "notes", "varied")
COPY_WORDS = (0, 1, 2, 3)

MOST_FAILED = 20
"""Failed takes of a set that are listed."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Row:
    """A metric over all sets; `label` tells the results of one metric apart and is empty where there is only one."""

    metric: Metric
    label: str
    results: tuple[Result | None, ...]
    """One a set; None: not measured."""

    @property
    def name(self) -> str:
        """Metric and label in words."""
        return ", ".join(part for part in (short_name(self.metric), self.label) if part)

    @property
    def has_value(self) -> bool:
        """Whether any set has a finite value."""
        return any(result is not None and math.isfinite(result.value) for result in self.results)

    def said(self, sets: Sequence[SetReport]) -> list[Said | None]:
        """The results in words; None: not measured."""
        return say_row(self.results, [len(one.takes) for one in sets])

    @property
    def estimator(self) -> Estimator | None:
        """What is known of the estimator that the metric rests on."""
        found = (Estimator.of(result.facts) for result in self.results if result is not None)
        return next((one for one in found if one is not None), None)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Family:
    """The metrics of one family, in the order in which they were measured."""

    name: str
    rows: tuple[Row, ...]
    notes: Mapping[str, int]
    """Warnings of single results and the number of their footnote, from 1 on."""
    facts: tuple[tuple[str, str], ...]
    """(name, value and of what): "sound font", "GeneralUser GS"."""

    def about_metric(self, metric: Metric) -> str:
        """What the metric counts, and how often its estimator is right, where it has one."""
        known = (row.estimator for row in self.rows_of(metric) if row.estimator is not None)
        said = next((f" Estimator: {one.sentence}." for one in known if one.is_known), "")
        return f"{metric.about}{said}"

    @property
    def title(self) -> str:
        """For a heading."""
        return ABOUT.get(self.name, (self.name.replace("_", " ").capitalize(), ""))[0]

    @property
    def about(self) -> str:
        """A sentence, or nothing."""
        return ABOUT.get(self.name, ("", ""))[1]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Each metric once."""
        return tuple({row.metric.name: row.metric for row in self.rows}.values())

    @property
    def has_estimators(self) -> bool:
        """Whether any metric rests on an estimator whose value on real music is known."""
        return any(row.estimator is not None and row.estimator.is_known for row in self.rows)

    def rows_of(self, metric: Metric) -> tuple[Row, ...]:
        """The rows of one metric."""
        return tuple(row for row in self.rows if row.metric.name == metric.name)

    def is_race(self, metric: Metric) -> bool:
        """Whether the metric has several rows, each of one set: what stands side by side are the rows, not the sets."""
        rows = self.rows_of(metric)
        return len(rows) > 1 and all(sum(result is not None for result in row.results) == 1 for row in rows)

    def marks(self, result: Result) -> list[int]:
        """Numbers of the footnotes of a result."""
        return sorted({self.notes[warning] for warning in result.warnings})


def tested(report: Report) -> SetReport:
    """The system under test. Raises `RequestError` where there is no set at all."""
    if not report.sets:
        raise RequestError("the report holds no set of takes; at least one is needed: run the evaluation anew")
    return report.sets[0]


def families(report: Report) -> list[Family]:
    """All families, those of the system under test first; the rows of a metric stand together."""
    telling = telling_facts([one.results for one in report.sets])
    results: dict[str, dict[str, list[Result | None]]] = {}
    for place, one in enumerate(report.sets):
        for result, label in zip(one.results, labels(one.results, telling), strict=True):
            lines = results.setdefault(result.metric.name, {})
            lines.setdefault(label, [None] * len(report.sets))[place] = result
    found: dict[str, list[Row]] = {}
    for lines in results.values():
        for label, row in lines.items():
            metric = next(result.metric for result in row if result is not None)
            found.setdefault(family_of(metric), []).append(Row(metric=metric, label=label, results=tuple(row)))
    names = [one.name for one in report.sets]
    return [
        Family(name=name, rows=tuple(rows), notes=_notes(rows), facts=tuple(_facts(rows, names, telling)))
        for name, rows in found.items()
    ]


def _notes(rows: Sequence[Row]) -> dict[str, int]:
    found = (result for row in rows for result in row.results if result is not None)
    texts = dict.fromkeys(warning for result in found for warning in result.warnings)
    return {warning: number for number, warning in enumerate(texts, 1)}


def _facts(rows: Sequence[Row], names: Sequence[str], telling: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Each fact once, with what it holds for; not those that label rows or belong to an estimator."""
    found: dict[str, list[Entry]] = {}
    for row in rows:
        said = telling.get(row.metric.name, ())
        for name, result in zip(names, row.results, strict=True):
            known = result.facts if result is not None else {}
            parts = label_parts(known, said)
            for key, value in known.items():
                if key in said or Estimator.owns(key):
                    continue
                entry = Entry(system=name, metric=short_name(row.metric), parts=parts, value=fact(value))
                found.setdefault(key, []).append(entry)
    return [(key.replace("_", " "), grouped(entries, rows=len(rows))) for key, entries in found.items()]


def lead(report: Report) -> str:
    """One sentence: how many takes of how many prompts by whom, beside whom."""
    first, *others = report.sets
    prompts = len({take.prompt for take in first.takes})
    beside = f", beside {_listed([one.name for one in others])}" if others else ""
    lost = f" ({len(failed(first)):,} failed)" if failed(first) else ""
    return f"{plural(len(first.takes), 'take')} of {plural(prompts, 'prompt')} by {first.name}{lost}{beside}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def failed(one: SetReport) -> list[TakeLine]:
    """The takes of a set that are no music."""
    return [take for take in one.takes if take.error is not None]


def copies(sets: Sequence[SetReport]) -> list[list[str]]:
    """Runs shared with the training pieces as rows under `COPY_COLUMNS`, set by set."""
    return [
        [
            one.name,
            line.prompt,
            instrument_name(line.instrument),
            line.piece,
            f"{line.pieces:,}",
            str(line.number),
            f"{line.seconds:.1f}",
            f"{line.notes:,}",
            f"{line.varied:,}",
        ]
        for one in sets
        for line in one.copies
    ]


def all_warnings(one: SetReport) -> list[str]:
    """What a set and its results warn of, each text once; a result's warning names its metric."""
    own = dict.fromkeys(one.warnings)
    for result in one.results:
        for warning in result.warnings:
            if warning not in own:
                name = result.metric.name
                own.setdefault(warning if name in warning else f"{name}: {warning}")
    return list(own)
