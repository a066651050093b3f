"""Captions rewritten by a language model behind an OpenAI-compatible endpoint; off unless the environment names one.

In: captions. Out: as many, in the same order, and a `RewriteReport`. A new wording is taken only when it states no
number, key, metre, tempo, number of players or instrument that the original does not state. What cannot be rewritten
stays as it was and is counted. Answers are kept in a JSONL file, one line per caption, keyed by a digest of model,
instruction and caption: a second build reads them instead of asking, an interrupted one goes on. Failures are not kept.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midi_llm.data.captions import MAX_CHARACTERS, one_line
from midi_llm.data.captions.spoken import ABBREVIATED, FAMILY_WORDS, SPOKEN
from midi_llm.errors import DatasetError

CACHE_VERSION = 1
MAX_ANSWER_BYTES = 1 << 20
INSTRUCTION = (
    "You get a JSON array of short descriptions of music. Reword each one as a musician or a film maker might type it"
    " into a search box: vary length, order and tone. Keep every number, key, metre, chord and instrument exactly, add"
    " none, add no facts. Answer with a JSON array of the same number of strings and nothing else."
)
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True, slots=True)
class RewriteSettings:
    """Where to ask and how patiently. Raises `DatasetError` for settings that cannot work."""

    base_url: str
    """Up to and without "/chat/completions", as in "http://localhost:8000/v1"."""
    model: str
    api_key: str = field(default="", repr=False)
    timeout_seconds: float = 60.0
    attempts: int = 4
    backoff_seconds: float = 1.0
    """Wait before the second attempt; doubled before each further one."""
    batch: int = 16
    """Captions in one request."""
    parallel: int = 4
    """Requests at a time."""

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")) or not self.model:
            raise DatasetError(
                f"base_url is {self.base_url!r} and model {self.model!r}; give an address that begins with http:// or"
                " https:// and the name of a model it serves"
            )
        if self.timeout_seconds <= 0 or self.backoff_seconds < 0 or min(self.attempts, self.batch, self.parallel) < 1:
            raise DatasetError("timeout_seconds must be positive, attempts, batch and parallel at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class RewriteReport:
    """How many captions were rewritten now, taken from the cache, refused (untrue or unusable), or not answered."""

    rewritten: int = 0
    cached: int = 0
    refused: int = 0
    failed: int = 0


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> RewriteSettings | None:
    """Settings from MIDI_LLM_REWRITE_URL, _MODEL and _KEY; None when no address is given."""
    url = environment.get("MIDI_LLM_REWRITE_URL", "").strip()
    if not url:
        return None
    model = environment.get("MIDI_LLM_REWRITE_MODEL", "").strip()
    return RewriteSettings(base_url=url, model=model, api_key=environment.get("MIDI_LLM_REWRITE_KEY", ""))


def rewrite(captions: Sequence[str], *, settings: RewriteSettings, cache: Path) -> tuple[list[str], RewriteReport]:
    """Reword `captions`; equal ones are asked for once. Raises `DatasetError` for a `cache` that is no such file."""
    known = _read_cache(cache)
    distinct = list(dict.fromkeys(captions))
    asked = [text for text in distinct if _digest(text, settings.model) not in known]
    found = {text: known[digest] for text in distinct if (digest := _digest(text, settings.model)) in known}
    cached = frozenset(found)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with cache.open("a", encoding="utf-8") as lines:
            if not known and lines.tell() == 0:
                _write_line(lines, {"format": "midi-llm rewrites", "version": CACHE_VERSION})
            for text, answer in _ask_all(asked, settings):
                found[text] = answer if answer is not None and states_nothing_new(text, answer) else None
                entry = {"digest": _digest(text, settings.model), "caption": text, "rewritten": found[text]}
                _write_line(lines, entry)
    except OSError as error:
        raise DatasetError(f"{cache} cannot be written: {error}; make room and run again, it continues") from error
    return [found.get(text) or text for text in captions], RewriteReport(
        rewritten=sum(text not in cached and found.get(text) is not None for text in captions),
        cached=sum(text in cached and found[text] is not None for text in captions),
        refused=sum(text in found and found[text] is None for text in captions),
        failed=sum(text not in found for text in captions),
    )


def states_nothing_new(original: str, rewritten: str) -> bool:
    """Whether `rewritten` states only numbers, keys, metres, tempos, players and instruments of `original`.

    Numbers, keys, metres and chords must all be kept, and both must rule something out or neither. The check is one of
    words and refuses too much rather than too little: "D minor" for "Dm" is refused.
    """
    if not rewritten or len(rewritten) > MAX_CHARACTERS or one_line(rewritten) != rewritten:
        return False
    if bool(_RULED_OUT.search(original)) != bool(_RULED_OUT.search(rewritten)):
        return False
    return _exact(original) == _exact(rewritten) and _loose(rewritten) <= _loose(original)


_EXACT = re.compile(
    r"\d+(?:/\d+)?|(?i:\b[A-G](?:#|b|[ -]flat|[ -]sharp)?[ -](?:major|minor)\b(?![ -](?:key|mode)))"
    r"|(?i:\b(?:major|minor)\b)"
    r"|\b[A-G][#b]?(?:m|maj|dim|aug|sus|add|\d)\w*|\b[B-G][#b]?(?![\w#])"
)
_RULED_OUT = re.compile(r"\b(?:no|not|without|drumless|never)\b", re.IGNORECASE)
_NO_CLAIM = frozenset({"and", "new", "age", "set"})
_LOOSE_WORDS = frozenset(
    word
    for name in (*(name for names in SPOKEN for name in names), *FAMILY_WORDS, *ABBREVIATED.values())
    for word in name.lower().replace("-", " ").split()
    if word not in _NO_CLAIM
) | frozenset(
    [
        "ukulele",
        "mandolin",
        "lute",
        "keyboard",
        "keyboards",
        "vocals",
        "vocal",
        "singer",
        "synth",
        "synthesizer",
        "beat",
        "waltz",
        "half",
        "double",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "solo",
        "duo",
        "trio",
        "quartet",
        "quintet",
        "sextet",
        "orchestra",
        "band",
        "slow",
        "fast",
        "quick",
        "rapid",
        "brisk",
        "uptempo",
        "downtempo",
        "tempo",
        "largo",
        "adagio",
        "andante",
        "moderato",
        "allegro",
        "presto",
        "lively",
        "dense",
        "sparse",
        "busy",
        "loud",
        "quiet",
        "soft",
    ]
)
_PLURALS = re.compile(r"(?<=[a-z]{3})s$")


def _exact(text: str) -> set[str]:
    """Numbers, metres, keys and chords, spelled one way."""
    return {re.sub(r"[ -]+", " ", match).lower() for match in _EXACT.findall(text)}


def _loose(text: str) -> set[str]:
    """Words that claim an instrument, a tempo or a number of players, in the singular."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return {_PLURALS.sub("", word) for word in words if {word, _PLURALS.sub("", word)} & _LOOSE_WORDS}


def _digest(text: str, model: str) -> str:
    return hashlib.sha256(json.dumps([model, INSTRUCTION, text]).encode()).hexdigest()


def _ask_all(texts: Sequence[str], settings: RewriteSettings) -> Iterator[tuple[str, str | None]]:
    """Ask in batches, several at a time; yield (caption, answer or None if unusable) for those that were answered."""
    batches = [texts[i : i + settings.batch] for i in range(0, len(texts), settings.batch)]
    with ThreadPoolExecutor(settings.parallel) as pool:
        for batch, answers in zip(batches, pool.map(lambda batch: _ask(batch, settings), batches), strict=True):
            yield from zip(batch, answers or (), strict=answers is not None)


def _ask(batch: Sequence[str], settings: RewriteSettings) -> list[str | None] | None:
    """One request with retries. None: no answer with as many strings came."""
    for attempt in range(settings.attempts):
        if attempt:
            time.sleep(settings.backoff_seconds * 2 ** (attempt - 1))
        try:
            return _parse_answer(_post(batch, settings), len(batch))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _RETRIED:
                return None
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, RecursionError):
            continue  # no connection, too slow, cut off, or not the JSON that was asked for
    return None


def _post(batch: Sequence[str], settings: RewriteSettings) -> Any:
    """Send one chat request; return the decoded JSON body."""
    body = {
        "model": settings.model,
        "temperature": 1.0,
        "messages": [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": json.dumps(list(batch), ensure_ascii=False)},
        ],
    }
    headers = {"Content-Type": "application/json"}
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key}"
    url = f"{settings.base_url.rstrip('/')}/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=settings.timeout_seconds) as response:
        return json.loads(response.read(MAX_ANSWER_BYTES))


def _parse_answer(body: Any, count: int) -> list[str | None]:
    """The strings of the first choice, cleaned; None for an entry that is no text. Raises `ValueError` otherwise."""
    content = str(body["choices"][0]["message"]["content"])
    answers = json.loads(content[content.index("[") : content.rindex("]") + 1])
    if not isinstance(answers, list) or len(answers) != count:
        raise ValueError(f"asked for a list of {count} strings")
    return [one_line(answer) if isinstance(answer, str) else None for answer in answers]


def _read_cache(path: Path) -> dict[str, str | None]:
    """Rewrites by digest; a last line that was cut off is removed from the file."""
    if not path.exists() or not path.stat().st_size:
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    if not whole:
        return {}
    try:
        header, *entries = [json.loads(line) for line in whole.splitlines()]
        if header.get("format") != "midi-llm rewrites" or header.get("version") != CACHE_VERSION:
            raise ValueError("its first line does not say so")
        known = {entry["digest"]: entry["rewritten"] for entry in entries}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} is no cache of rewrites of version {CACHE_VERSION} ({error}); delete it") from error
    return known


def _write_line(lines: Any, entry: Mapping[str, Any]) -> None:
    lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
    lines.flush()
