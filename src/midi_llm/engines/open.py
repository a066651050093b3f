"""Choose and open an engine by name, loading only the one that is used.

In: a checkpoint folder and "onnx", "torch", "vllm" or "auto". Out: an `Engine`. "auto" takes vLLM where it is installed
and there is a CUDA device, else ONNX when the folder has its ONNX files, else torch. Raises `EngineError`, or
`MissingExtraError` for an engine whose packages are not installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from midi_llm.engines.base import Engine
from midi_llm.engines.rules import Layout
from midi_llm.errors import EngineError

ENGINES = ("auto", "onnx", "torch", "vllm")
"""The names that may be asked for."""

ONNX_FOLDER = "onnx"


def open_engine(checkpoint: Path, name: str = "auto", *, layout: Layout | None = None) -> Engine:
    """Open `checkpoint` with the engine `name`, one of `ENGINES`.

    `layout`: no other ids will be drawn, which vLLM has to know from the start; the other engines see it by request.
    """
    chosen = choose_engine(checkpoint, name)
    if chosen == "onnx":
        from midi_llm.engines.onnx_engine import OnnxEngine

        return OnnxEngine(checkpoint)
    if chosen == "vllm":
        from midi_llm.engines.vllm_engine import VllmEngine

        return VllmEngine(checkpoint, layout=layout)
    from midi_llm.engines.torch_engine import TorchEngine

    return TorchEngine(checkpoint)


def choose_engine(checkpoint: Path, name: str) -> str:
    """The engine that `name` means for this folder; raises `EngineError` for an unknown name or when none can run."""
    if name not in ENGINES:
        raise EngineError(f"engine {name!r} is not known; allowed are {', '.join(ENGINES)}")
    if name != "auto":
        return name
    if _can_run_vllm():
        return "vllm"
    if (checkpoint / ONNX_FOLDER).is_dir():
        return "onnx"
    if importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"):
        return "torch"
    raise EngineError(
        f"{checkpoint} has no {ONNX_FOLDER} folder and torch is not installed:"
        f" run `midi-llm export {checkpoint}` where torch is, or pip install 'midi-llm[torch]'"
    )


def _can_run_vllm() -> bool:
    """Whether vLLM is installed and there is a CUDA device; torch is loaded only where vLLM is."""
    if not importlib.util.find_spec("vllm"):
        return False
    import torch

    return torch.cuda.is_available()
