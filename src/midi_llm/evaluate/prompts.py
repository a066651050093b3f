"""What was asked for: a prompt and the facts in it that a machine can check.

In: a JSONL file, one object a line: {"id": "p001", "prompt": "a slow waltz ...", "facts": {"metre": [3, 4], ...}}.
Out: `Prompt`s. A fact that the text does not state is absent: nothing is then counted for or against a take.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from midi_llm.errors import RequestError
from midi_llm.music.key import KEYS
from midi_llm.music.score import DRUMS

Pace = Literal["slow", "medium", "fast"]
Density = Literal["sparse", "dense"]
Register = Literal["low", "high"]

_ID = re.compile(r"[\w.-]{1,64}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_BPM = 400.0
_WORDS: dict[str, tuple[str, ...]] = {
    "pace": ("slow", "medium", "fast"),
    "density": ("sparse", "dense"),
    "register": ("low", "high"),
    "mode": ("major", "minor"),
    "key": KEYS,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptFacts:
    """What a prompt states. None or empty: not stated."""

    instruments: tuple[tuple[int, ...], ...] = ()
    """One group for each instrument asked for: the instruments (0-128, 128 = drums) of which any one fulfils it."""
    only: bool = False
    """The text asks for these instruments and no others ("solo piano", "for string quartet")."""
    without: tuple[int, ...] = ()
    """Instruments ruled out ("no drums")."""
    bpm: float | None = None
    pace: Pace | None = None
    key: str | None = None
    """One of `music.key.KEYS`: "Bb minor"."""
    mode: str | None = None
    """ "major" or "minor", also where a key is stated."""
    metre: tuple[int, int] | None = None
    seconds: float | None = None
    density: Density | None = None
    register: Register | None = None
    moods: tuple[str, ...] = ()
    """As the text says them; no metric reads them without sound."""
    styles: tuple[str, ...] = ()

    @property
    def drums(self) -> bool | None:
        """True: asked for; False: ruled out; None: not mentioned."""
        if DRUMS in self.without or (self.only and not any(DRUMS in group for group in self.instruments)):
            return False
        return True if any(DRUMS in group for group in self.instruments) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A text with its facts; `id` names it in files and reports (letters, digits, `_`, `.`, `-`)."""

    id: str
    text: str
    facts: PromptFacts = field(default_factory=PromptFacts)


def read_prompts(path: Path) -> list[Prompt]:
    """Read a JSONL file. Raises `RequestError` with the line for what is no prompt, and for an id used twice."""
    prompts: list[Prompt] = []
    seen: set[str] = set()
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}; it must be JSONL in UTF-8, one prompt a line") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            prompt = prompt_from_json(json.loads(line), default_id=f"p{number:04d}")
        except (ValueError, TypeError, RecursionError) as error:
            raise RequestError(f"{path} line {number}: {error}") from error
        if prompt.id in seen:
            raise RequestError(f"{path} line {number}: the id {prompt.id!r} is used twice; give every prompt its own")
        seen.add(prompt.id)
        prompts.append(prompt)
    if not prompts:
        raise RequestError(f'{path} holds no prompt; expected lines such as {{"prompt": "a slow waltz"}}')
    return prompts


def prompt_from_json(value: object, *, default_id: str) -> Prompt:
    """The prompt in one JSON object. Raises `ValueError` or `TypeError` that says what is wrong with which field."""
    if not isinstance(value, dict):
        raise TypeError(f"expected an object with a prompt, found {value!r:.60}")
    unknown = sorted(value.keys() - {"id", "prompt", "facts"})
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; allowed are id, prompt, facts")
    name, text = value.get("id", default_id), value.get("prompt")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ValueError(f"id is {name!r:.60}; allowed are 1 to 64 letters, digits, _, . and -")
    if not isinstance(text, str) or not text.strip() or _SURROGATE.search(text):
        raise ValueError(f"prompt is {text!r:.60}; expected a text in valid Unicode")
    return Prompt(id=name, text=text, facts=facts_from_json(value.get("facts", {})))


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """The object that `prompt_from_json` reads; facts that are not stated are left out."""
    default = PromptFacts()
    facts = {item.name: getattr(prompt.facts, item.name) for item in fields(PromptFacts)}
    stated = {name: content for name, content in facts.items() if content != getattr(default, name)}
    return {"id": prompt.id, "prompt": prompt.text, "facts": json.loads(json.dumps(stated))}


def facts_from_json(value: object) -> PromptFacts:
    """Checked facts. Raises `ValueError` or `TypeError` naming the field, what was found and what is allowed."""
    if not isinstance(value, dict):
        raise TypeError(f"facts is {value!r:.60}; expected an object")
    known = {item.name for item in fields(PromptFacts)}
    unknown = sorted(value.keys() - known)
    if unknown:
        raise ValueError(f"unknown fact {unknown[0]!r}; allowed are {', '.join(sorted(known))}")
    facts = {name: _checked(name, content) for name, content in value.items() if content is not None}
    if "key" in facts:
        facts.setdefault("mode", facts["key"].split()[1])
        if facts["mode"] != facts["key"].split()[1]:
            raise ValueError(f"mode is {facts['mode']!r}, but the key is {facts['key']!r}")
    if facts.get("only") and not facts.get("instruments"):
        raise ValueError("only is true without instruments; name the instruments that are asked for")
    for group in facts.get("instruments", ()):
        if set(group) <= set(facts.get("without", ())):
            raise ValueError(f"instruments asks for {list(group)}, without rules all of them out")
    return PromptFacts(**facts)


def _checked(name: str, content: Any) -> Any:
    """One fact in its Python type."""
    if name in _WORDS:
        if content not in _WORDS[name]:
            raise ValueError(f"{name} is {content!r:.60}; allowed are {', '.join(_WORDS[name])}")
        return content
    if name == "only":
        if not isinstance(content, bool):
            raise TypeError(f"only is {content!r:.60}; expected true or false")
        return content
    if name in ("bpm", "seconds"):
        return _positive(name, content)
    if name in ("moods", "styles"):
        return tuple(_sequence(name, content, str))
    if name == "metre":
        numbers = _sequence(name, content, int)
        if len(numbers) != 2:
            raise ValueError(f"metre is {content!r:.60}; expected e.g. [3, 4]")
        numerator, denominator = numbers
        if not 1 <= numerator <= 32 or denominator not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"metre is {content!r}; expected e.g. [3, 4]")
        return numerator, denominator
    if name == "without":
        return _instruments(name, content)
    return tuple(_instruments(name, group) for group in _sequence(name, content, list))


def _positive(name: str, content: Any) -> float:
    if isinstance(content, bool) or not isinstance(content, int | float) or not 0 < content <= sys.float_info.max:
        raise ValueError(f"{name} is {content!r:.60}; expected a positive number")
    if name == "bpm" and content > _MOST_BPM:
        raise ValueError(f"bpm is {content!r:.60}; allowed is up to {_MOST_BPM:g}")
    return float(content)


def _instruments(name: str, content: Any) -> tuple[int, ...]:
    numbers = tuple(_sequence(name, content, int))
    if not numbers or not all(0 <= number <= DRUMS for number in numbers):
        raise ValueError(f"{name} has {content!r:.60}; expected instruments 0 to {DRUMS} ({DRUMS} = drums)")
    return numbers


def _sequence(name: str, content: Any, kind: type) -> Sequence[Any]:
    if not isinstance(content, list) or not all(type(item) is kind for item in content):
        raise TypeError(f"{name} is {content!r:.60}; expected a list of {kind.__name__}")
    return content


def facts_count(prompts: Sequence[Prompt]) -> Mapping[str, int]:
    """How many prompts state each fact, most stated first."""
    default = PromptFacts()
    counts = {
        item.name: sum(getattr(prompt.facts, item.name) != getattr(default, item.name) for prompt in prompts)
        for item in fields(PromptFacts)
    }
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))
