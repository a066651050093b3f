"""Named models, and the way from what a user typed to a folder on this machine.

In: a catalog name, the path of a folder, or a Hugging Face hub id. Out: a folder. Names and folders never touch the
network; only a hub id (or a name that stands for one) does, through huggingface_hub and its cache, and then only for
JSON, safetensors and ONNX files: no pickle, no code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from midi_llm.errors import CheckpointError, MissingExtraError

DEFAULT_MODEL = "nano"
HUB_PATTERNS = ("*.json", "*.safetensors", "onnx/*.onnx", "onnx/*.onnx.data", "LICENSE*", "*.md", "*.txt")
HUB_IGNORED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.py", "original/*")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """A model known by name. `where` is "bundled" or a hub id; `available` says whether it is on this machine."""

    name: str
    description: str
    licence: str
    where: str
    available: bool = False


_BUNDLED = "bundled"
_CATALOG = (
    ModelEntry(
        name=DEFAULT_MODEL,
        description="small model for a CPU, comes with this package (see its MODEL_CARD.md)",
        licence="see its MODEL_CARD.md",
        where=_BUNDLED,
    ),
    ModelEntry(
        name="midi-llm-1b",
        description="the published MIDI-LLM on Llama 3.2, 1.47 billion parameters, for a GPU",
        licence="Llama 3.2 Community License",
        where="slseanwu/MIDI-LLM_Llama-3.2-1B",
    ),
)


def list_models() -> list[ModelEntry]:
    """List the models that have a name, each with whether it is on this machine. Never goes online."""
    return [
        ModelEntry(
            name=entry.name,
            description=entry.description,
            licence=entry.licence,
            where=entry.where,
            available=_bundled(entry.name).is_dir() if entry.where == _BUNDLED else _is_cached(entry.where),
        )
        for entry in _CATALOG
    ]


def resolve_model(model: str | Path) -> Path:
    """Return the folder of `model`: a catalog name, a folder, or a hub id such as "org/name" (downloaded if needed).

    A name of the catalog wins over a folder of the same name: write "./nano" for the folder. "a/b" is a hub id only
    when neither the folder a/b nor the folder a exists here. Raises `CheckpointError` for an unknown model, a model
    that is not installed and a failed download, `MissingExtraError` when huggingface_hub is needed and absent.
    """
    if isinstance(model, str):
        for entry in _CATALOG:
            if model == entry.name:
                return _installed(entry.name) if entry.where == _BUNDLED else download(entry.where)
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        return folder
    if isinstance(model, str) and _HUB_ID.fullmatch(model) and not folder.parent.is_dir():
        return download(model)
    names = ", ".join(entry.name for entry in _CATALOG)
    found = f"{str(model)!r} is a file" if folder.is_file() else f"no model {str(model)!r}"
    raise CheckpointError(f"{found}; give one of {names}, the path of a checkpoint folder, or a hub id org/name")


def _bundled(name: str) -> Path:
    return Path(str(files("midi_llm").joinpath("models", name)))


def _installed(name: str) -> Path:
    folder = _bundled(name)
    if not folder.is_dir():
        raise CheckpointError(
            f"the bundled model {name!r} is not in this installation ({folder} is missing);"
            " install midi-llm again, or give the path of a checkpoint folder"
        )
    return folder


def _is_cached(hub_id: str) -> bool:
    """Whether the hub's cache on this machine holds the model's config and weights."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return False
    names = ("model.safetensors", "model.safetensors.index.json")
    has_weights = any(isinstance(try_to_load_from_cache(hub_id, name), str) for name in names)
    return has_weights and isinstance(try_to_load_from_cache(hub_id, "config.json"), str)


def download(hub_id: str, *, allowed: Sequence[str] = HUB_PATTERNS, ignored: Sequence[str] = HUB_IGNORED) -> Path:
    """Folder of the hub's cache with the files of `hub_id` that match `allowed` and not `ignored` (glob patterns).

    Raises `CheckpointError`, saying what to do, when they cannot be had; `MissingExtraError` without huggingface_hub.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors as hub_errors
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error
    errors: Any = hub_errors  # HTTPError is httpx's or requests', by version, and not exported by name
    try:
        folder = huggingface_hub.snapshot_download(hub_id, allow_patterns=list(allowed), ignore_patterns=list(ignored))
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{hub_id} asks for its terms to be accepted: do so on huggingface.co/{hub_id}, then run `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"the hub has no public model {hub_id!r}; check the spelling, or run `hf auth login` when it is private"
        ) from error
    except (OSError, ValueError, errors.HTTPError) as error:  # offline, refused, disk full, not an id
        raise CheckpointError(
            f"{hub_id} is not on this machine and could not be downloaded ({_cause(error)});"
            " try again when online, or give the path of a checkpoint folder"
        ) from error
    return Path(folder)


def _cause(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind when it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
