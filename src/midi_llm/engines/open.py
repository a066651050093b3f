"""Choose and open an engine by name, loading only the one that is used.

In: a checkpoint folder and "onnx", "torch", "vllm" or "auto" (see `choice`). Out: an `Engine`; the log says which, and
why. Raises `EngineError`, or `MissingExtraError` for an engine whose packages are not installed. Where the engine that
"auto" means cannot be opened, another is not taken silently: the error names it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from midi_llm.engines.base import Engine
from midi_llm.engines.choice import ENGINES as ENGINES
from midi_llm.engines.choice import Choice, Facts, choose, find_facts
from midi_llm.errors import EngineError

_LOG = logging.getLogger(__name__)


def open_engine(checkpoint: Path, name: str = "auto") -> Engine:
    """Open `checkpoint` with the engine `name`, one of `ENGINES`."""
    chosen = choose_engine(checkpoint, name)
    _LOG.info("engine %s: %s", chosen.name, chosen.reason)
    try:
        return _open(checkpoint, chosen.name)
    except EngineError as error:
        if not chosen.others:
            raise
        raise EngineError(
            f"{error} (auto chose {chosen.name}: {chosen.reason}; another engine: --engine {chosen.others[0]})"
        ) from error


def choose_engine(checkpoint: Path, name: str = "auto", *, facts: Facts | None = None) -> Choice:
    """The engine that `name` means for this folder. `facts` None: they are found where the choice needs them.

    Raises `EngineError` for an unknown name, or when none can run.
    """
    if name not in ENGINES:
        raise EngineError(f"engine {name!r} is not known; allowed are {', '.join(ENGINES)}")
    if name != "auto":
        return Choice(name=name, reason="asked for")
    return choose(facts or find_facts(checkpoint), folder=checkpoint)


def _open(checkpoint: Path, name: str) -> Engine:
    if name == "onnx":
        from midi_llm.engines.onnx_engine import OnnxEngine

        return OnnxEngine(checkpoint)
    if name == "vllm":
        from midi_llm.engines.vllm_engine import VllmEngine

        return VllmEngine(checkpoint)
    from midi_llm.engines.torch_engine import TorchEngine

    return TorchEngine(checkpoint)
