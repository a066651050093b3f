"""Text to token ids: the prompt format of a checkpoint, and the `midi_llm.json` file that records it.

In: a user's text, the checkpoint's own tokenizer, its number of text rows. Out: token ids that end in the id which
starts a piece. A folder without `midi_llm.json` is read as `PUBLISHED`. Knows no weights and no engine.
Text is tidied as follows: (1) runs of white space, line breaks included, become one blank, ends are trimmed;
(2) other control characters and lone surrogates are refused; (3) spellings of special tokens ("<|end_of_text|>") are
plain text, so a prompt cannot inject an id. (1) and (3) differ from MIDI-LLM's scripts, only for such texts.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midi_llm.errors import CheckpointError, PromptError
from midi_llm.tokens.vocab import AUTOREGRESS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RECORD_FILE = "midi_llm.json"
TOKENIZER_FILE = "tokenizer.json"
FORMAT_VERSION = 1
"""Of `midi_llm.json`: {"format_version", "prompt": {"prefix", "suffix", "bos", "restates"?}, "name"?, "training"?,
"sampling"?}."""


_BOUNDS = ("max_instruments", "max_polyphony", "polyphony_per_instrument", "min_gap_ticks", "min_melodic_ticks")
_SAMPLING = {"temperature", "top_p", "guidance", *_BOUNDS}


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptFormat:
    """How a checkpoint wants its text: `prefix` + text + `suffix`, after the tokenizer's BOS when `bos` holds."""

    prefix: str
    suffix: str
    bos: bool
    restates: bool = False
    """Composing says the text's tempo, metre and key again at its end, as a caption does (compose/wishes.py)."""

    def render(self, text: str) -> str:
        """Return the whole prompt as text; raises `PromptError` for an empty text or control characters."""
        return self.prefix + tidy(text) + self.suffix

    def encode(
        self,
        text: str,
        tokenizer: Tokenizer,
        text_rows: int,
        *,
        limit: int | None = None,
        start_amt_id: int = AUTOREGRESS,
    ) -> list[int]:
        """Token ids of the prompt, the last one `start_amt_id + text_rows`.

        `limit` is the most ids that fit, the start id included. Raises `PromptError` when the text is empty or longer
        than that, `CheckpointError` when the tokenizer and the weights do not belong together.
        """
        rendered = self.render(text)
        plain: list[int] = tokenizer.encode(rendered, add_special_tokens=False).ids
        ids: list[int] = tokenizer.encode(rendered, add_special_tokens=True).ids if self.bos else list(plain)
        if self.bos and ids[1:] != plain:
            raise CheckpointError(
                f"the prompt format asks for one BOS in front but {TOKENIZER_FILE} does not add it;"
                f" give the tokenizer a BOS template or set prompt.bos to false in {RECORD_FILE}"
            )
        if ids and max(ids) >= text_rows:
            raise CheckpointError(
                f"{TOKENIZER_FILE} gives id {max(ids)} but the model has text rows 0..{text_rows - 1};"
                " use the tokenizer that was saved with this checkpoint"
            )
        ids.append(start_amt_id + text_rows)
        if limit is not None and len(ids) > limit:
            raise PromptError(f"the prompt is {len(ids)} tokens long and {limit} fit in the model; shorten the text")
        return ids


PUBLISHED = PromptFormat(
    prefix="You are a world-class composer. Please compose some music according to the following description: ",
    suffix=" ",
    bos=True,
)
"""The format of slseanwu/MIDI-LLM_Llama-3.2-1B (its generation scripts)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointRecord:
    """What `midi_llm.json` holds: the prompt format, a display name, and free notes on the training."""

    prompt: PromptFormat = PUBLISHED
    name: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, float] = field(default_factory=dict)
    """Recommended "temperature", "top_p", "guidance" and bounds of the grammar (compose/bounds.py). Those of the
    published checkpoint where it names none."""


def tidy(text: str) -> str:
    """`text` with white space normalised; raises `PromptError` when nothing readable is left or it cannot be text."""
    cleaned = " ".join(text.split())
    for position, char in enumerate(cleaned):
        if unicodedata.category(char) in ("Cc", "Cs"):
            raise PromptError(
                f"the prompt has the control character U+{ord(char):04X} at position {position}; plain text is allowed,"
                " remove it"
            )
    if all(unicodedata.category(char) in ("Cf", "Zs") for char in cleaned):
        raise PromptError('the prompt is empty; describe the music in words, such as "a calm piano piece"')
    return cleaned


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the checkpoint's tokenizer, set to neither truncate nor pad nor read special tokens out of text.

    A BOS that only `tokenizer_config.json` asks for is added as transformers would. Raises `CheckpointError`.
    """
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {TOKENIZER_FILE}; copy it from the model that the weights came from")
    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a tokenizer that can be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    if tokenizer.num_special_tokens_to_add(False) == 0:
        _add_configured_bos(tokenizer, folder / "tokenizer_config.json")
    return tokenizer


def _add_configured_bos(tokenizer: Tokenizer, path: Path) -> None:
    """Put the `bos_token` of tokenizer_config.json in front, unless it says `add_bos_token: false` or has none."""
    from tokenizers.processors import Sequence, TemplateProcessing

    if not path.is_file():
        return
    config = _read_object(path)
    token = config.get("bos_token")
    if isinstance(token, dict):  # an AddedToken, as older files spell it
        token = token.get("content")
    bos_id = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if bos_id is None or not config.get("add_bos_token", True):
        return
    template = TemplateProcessing(single=f"{token} $A", special_tokens=[(token, bos_id)])
    before = tokenizer.post_processor
    tokenizer.post_processor = template if before is None else Sequence([before, template])


def read_record(folder: Path) -> CheckpointRecord:
    """Read the record of a checkpoint folder, `PUBLISHED` when there is none; `CheckpointError` for a broken one."""
    path = folder / RECORD_FILE
    if not path.is_file():
        return CheckpointRecord()
    value = _read_object(path)
    version = value.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {version!r}; this program reads {FORMAT_VERSION}: update midi-llm or save again"
        )
    prompt, name, training = value.get("prompt"), value.get("name", ""), value.get("training", {})
    kinds = {"prefix": str, "suffix": str, "bos": bool, "restates": bool}
    if not isinstance(prompt, dict) or any(
        not isinstance(({"restates": False} | prompt).get(key), kind) for key, kind in kinds.items()
    ):
        raise CheckpointError(
            f"{path} has prompt {prompt!r}; it needs prefix (text), suffix (text), bos (true/false) and may have"
            " restates (true/false)"
        )
    if not isinstance(name, str) or not isinstance(training, dict):
        raise CheckpointError(f"{path}: name must be text and training an object; correct the file")
    sampling = value.get("sampling", {})
    if (
        not isinstance(sampling, dict)
        or not _SAMPLING.issuperset(sampling)
        or not all(isinstance(number, int | float) and not isinstance(number, bool) for number in sampling.values())
        or not all(isinstance(sampling.get(name, 1), int) and sampling.get(name, 1) >= 0 for name in _BOUNDS)
    ):
        raise CheckpointError(
            f"{path} has sampling {sampling!r}; it may hold the numbers temperature, top_p, guidance and, whole,"
            f" {', '.join(_BOUNDS)}"
        )
    known = PromptFormat(**{key: prompt[key] for key in kinds if key in prompt})
    return CheckpointRecord(prompt=known, name=name, training=training, sampling=sampling)


def write_record(folder: Path, record: CheckpointRecord) -> Path:
    """Write `midi_llm.json` into `folder` and return its path. `training` must be JSON values."""
    prompt = asdict(record.prompt)
    if not record.prompt.restates:
        del prompt["restates"]
    value: dict[str, Any] = {"format_version": FORMAT_VERSION, "prompt": prompt}
    if record.name:
        value["name"] = record.name
    if record.training:
        value["training"] = record.training
    if record.sampling:
        value["sampling"] = record.sampling
    path = folder / RECORD_FILE
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from `path`; `CheckpointError` when it is anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not JSON that can be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}; a JSON object is needed")
    return value
