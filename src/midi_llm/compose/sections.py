"""A plan of sections: "intro 4, verse 8, chorus 8", names with their bars, in order.

In: the text of an option, read strictly, or a prompt, read for what is surely such a plan. Out: `Section`s. A name that
comes again means the same music again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from midi_llm.errors import RequestError

LEAST_SECTIONS = 3
"""In a prompt, fewer in a row are not taken for a plan."""

_NAMES = (
    r"intro(?:duction)?|verse|pre[- ]?chorus|(?:post[- ]?)?chorus|refrain|hook|bridge|middle eight|solo|interlude|break"
    r"|breakdown|build(?:[- ]?up)?|drop|outro|coda|ending|exposition|development|recapitulation|(?:part|section) [A-H]"
)
_BAR = r"(?:bars?|measures?)"
_PART = re.compile(
    rf"(?P<name>[^\W\d][\w' -]*?)\s*:?\s*(?P<bars>\d+)\s*{_BAR}?|(?P<count>\d+)[ -]{_BAR}(?: of)? (?P<of>.+)"
)
_NAMED = rf"(?:(?:{_NAMES})(?: \d)?:? [1-9]\d{{0,2}}(?: {_BAR})?|[1-9]\d{{0,2}}[ -]{_BAR}(?: of)? (?:{_NAMES}))\b"
_ROW = re.compile(
    rf"{_NAMED}(?:(?:\s*[,;]\s*(?:and |then )?| and | then |\s*(?:->|→)\s*){_NAMED}){{{LEAST_SECTIONS - 1},}}",
    re.IGNORECASE,
)
_JOINT = re.compile(r"\s*(?:[,;\n]|->|→|\band\b|\bthen\b)\s*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """`bars` bars under a name such as "verse"."""

    name: str
    bars: int


def read_sections(text: str) -> tuple[Section, ...]:
    """The sections that a text lists. Raises `RequestError` for one without a name and a number of bars."""
    found = []
    for part in filter(None, _JOINT.split(text.strip())):
        match = _PART.fullmatch(part)
        if match is None:
            raise RequestError(
                f"{part!r} is no section; write names and bars, such as 'intro 4, verse 8, chorus 8, outro 4'"
            )
        name = match["name"] or match["of"]
        found.append(Section(name=name.strip().lower(), bars=int(match["bars"] or match["count"])))
    if not found:
        raise RequestError("the plan of sections is empty; write names and bars, such as 'intro 4, verse 8, chorus 8'")
    return tuple(found)


def find_sections(text: str) -> tuple[Section, ...]:
    """The sections that a prompt lists: three or more with usual names in a row, "bars" said at least once; else ()."""
    for match in _ROW.finditer(text):
        if re.search(rf"\b{_BAR}\b", match[0], re.IGNORECASE):
            return read_sections(match[0])
    return ()


def total_bars(sections: tuple[Section, ...]) -> int:
    """Bars of all sections."""
    return sum(section.bars for section in sections)
