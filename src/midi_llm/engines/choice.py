"""Which engine runs a checkpoint here: the one asked for, or the best that can run, and why it is that one.

In: a name, and `Facts` about machine and folder, found by `find_facts` or made up by a test. Out: a `Choice`. In order:
vLLM on a CUDA device, torch on a CUDA or MPS device, ONNX where the folder has its files, torch on the processor. torch
is loaded only where it is installed and the driver names a device for it, vLLM only where it would be chosen.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path

from midi_llm.engines.devices import Device, find_device
from midi_llm.errors import EngineError

ENGINES = ("auto", "onnx", "torch", "vllm")
"""The names that may be asked for."""

ONNX_RECORD = Path("onnx", "meta.json")
_NO_CUDA = re.compile(r"^cuda\b.*=\s*None\s*$", flags=re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the choice depends on."""

    device: Device | None = None
    """As the driver says."""
    has_torch: bool = False
    """torch and transformers are installed."""
    is_usable: bool = False
    """torch computes on `device`."""
    has_vllm: bool = False
    vllm_fault: str = ""
    """Why the vLLM that is installed cannot be used."""
    onnx: str | None = None
    """The number format of the folder's ONNX files; None without any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The engine to open, and why. `others` can run here as well, the next best first."""

    name: str
    reason: str
    others: tuple[str, ...] = ()


def find_facts(checkpoint: Path) -> Facts:
    """Facts about this machine and the folder `checkpoint`: milliseconds where there is no device."""
    device = find_device()
    has_torch = is_installed("torch") and is_installed("transformers")
    is_usable = has_torch and device is not None and _torch_computes_on(device)
    has_vllm = is_installed("vllm")
    return Facts(
        device=device,
        has_torch=has_torch,
        is_usable=is_usable,
        has_vllm=has_vllm,
        vllm_fault=_vllm_fault() if has_vllm and is_usable and device == "cuda" else "",
        onnx=_onnx_format(checkpoint),
    )


def is_installed(package: str) -> bool:
    """Whether `package` can be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def choose(facts: Facts, *, folder: Path) -> Choice:
    """The best engine for these facts. Raises `EngineError` when none can run `folder`."""
    able = _able(facts)
    if not able:
        raise EngineError(
            f"{folder} has no ONNX files and torch with transformers is not installed:"
            f" run `midi-llm export {folder}` where they are, or pip install 'midi-llm[torch]'"
        )
    (name, reason), *others = able
    return Choice(name=name, reason=reason, others=tuple(other for other, _ in others if other != name))


def _able(facts: Facts) -> list[tuple[str, str]]:
    """Every engine that can run, the best first, each with why it would be the one."""
    device = "CUDA" if facts.device == "cuda" else "MPS"
    able = []
    if facts.is_usable and facts.device == "cuda" and facts.has_vllm and not facts.vllm_fault:
        able.append(("vllm", "there is a CUDA device and vLLM is installed"))
    if facts.is_usable:
        able.append(("torch", f"there is {'a CUDA' if device == 'CUDA' else 'an MPS'} device{_without_vllm(facts)}"))
    why = _without_device(facts, device)
    if facts.onnx is not None:
        able.append(("onnx", f"{why}; the folder has ONNX files ({facts.onnx})"))
    if facts.has_torch and not facts.is_usable:
        able.append(("torch", f"{why}; the folder has no ONNX files"))
    return able


def _without_vllm(facts: Facts) -> str:
    if facts.device != "cuda":
        return ""
    return f"; {facts.vllm_fault}" if facts.has_vllm else "; vLLM is not installed"


def _without_device(facts: Facts, device: str) -> str:
    if facts.device is None:
        return "no CUDA or MPS device"
    if not facts.has_torch:
        return f"the {device} device needs torch and transformers, which are not installed"
    return f"the torch that is installed does not compute on the {device} device"


def _torch_computes_on(device: Device) -> bool:
    """Ask torch; it is not loaded where its own record says that it was built without CUDA."""
    if device == "cuda" and _is_without_cuda():
        return False
    import torch

    return torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()


def _is_without_cuda() -> bool:
    """Whether torch/version.py says "cuda: Optional[str] = None", which it does in builds for the processor alone."""
    spec = importlib.util.find_spec("torch")
    for folder in (spec and spec.submodule_search_locations) or ():
        try:
            return _NO_CUDA.search(Path(folder, "version.py").read_text(encoding="utf-8")) is not None
        except OSError:
            continue
    return False


def _vllm_fault() -> str:
    """Why vLLM cannot be used, in one line; empty where it can."""
    from midi_llm.engines.vllm_engine import load_vllm

    try:
        load_vllm()
    except EngineError as error:
        return str(error)
    return ""


def _onnx_format(checkpoint: Path) -> str | None:
    try:
        return str(json.loads((checkpoint / ONNX_RECORD).read_text(encoding="utf-8"))["precision"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "of an unknown format"  # what is wrong with the record, the engine says
