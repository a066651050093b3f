"""Where a model runs, what its device can hold, and whether the Triton kernels serve it there.

In: a device's name, a format of weights, an open model. Out: a device, and its `Ops`. Raises `EngineError` for a device
that is not there and for weights that it cannot hold; kernels that fail are no error, for plain torch does the same.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess

import torch

from midi_llm.engines.torch_llama import Llama
from midi_llm.engines.torch_matrix import FORMATS
from midi_llm.engines.torch_ops import Ops, PlainOps, agrees
from midi_llm.errors import EngineError

_FP8_CAPABILITY = (8, 9)  # GPUs before it cannot convert fp8 (PTX ISA, cvt with .e4m3x2)

_log = logging.getLogger(__name__)


def find_device(name: str) -> torch.device:
    """The torch device of that name, "auto" being the first there is of CUDA, Apple's GPU (mps) and the CPU."""
    exists = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_there in exists.items() if is_there))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"device {name!r} is not known; allowed are auto, {', '.join(exists)}") from error
    if not exists.get(device.type, False):
        raise EngineError(f"device {name!r} was asked for but torch finds no {device.type.upper()}; use auto or cpu")
    return device


def check_weights(weights: str | None, device: torch.device) -> None:
    """Raise `EngineError` for weights that are not known or that `device` cannot hold; None = as they are."""
    if weights is not None:
        capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
        check_format(weights, device.type, capability)


def check_format(weights: str, device_type: str, capability: tuple[int, int] | None) -> None:
    """The same for a kind of device and, on CUDA, its compute capability."""
    if weights not in FORMATS:
        raise EngineError(f"weights {weights!r} are not known; allowed are {' and '.join(FORMATS)}")
    if weights == "fp8" and device_type == "mps":
        raise EngineError("fp8 weights do not exist on an Apple GPU; use int8, or leave the weights as they are")
    if weights == "fp8" and capability is not None and capability < _FP8_CAPABILITY:
        needed, found = (".".join(map(str, version)) for version in (_FP8_CAPABILITY, capability))
        raise EngineError(
            f"fp8 weights need a GPU of compute capability {needed}, this one has {found}; use int8,"
            " or leave the weights in bfloat16"
        )


def choose_ops(llama: Llama) -> Ops:
    """The kernels where they run and give what plain torch gives on these weights; else plain torch, and a warning."""
    if llama.device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return PlainOps()
    try:
        return trusted_kernels(llama)
    except EngineError as error:
        _log.warning("decoding is plain torch, and slower, without the Triton kernels: %s", error)
        return PlainOps()


def trusted_kernels(llama: Llama) -> Ops:
    """The kernels after a trial on these weights; `EngineError` says why they cannot be used.

    Triton fails with a `TritonError` (a type, shared memory, registers, ptxas), a `RuntimeError` (a pass of LLVM, the
    driver, no C compiler), a `CalledProcessError` (the C compiler) or an `OSError` (the folder for compiled code).
    """
    try:
        from triton.errors import TritonError

        from midi_llm.engines.torch_kernels import KernelOps, fits
    except ImportError as error:
        raise EngineError(f"triton cannot be imported ({error})") from error
    if not fits(llama):
        raise EngineError("they do not serve the sizes of this model")
    kernels = KernelOps()
    try:
        with torch.no_grad():
            is_trusted = agrees(kernels, llama)
    except (TritonError, RuntimeError, subprocess.CalledProcessError, OSError) as error:
        words = getattr(error, "error_message", None) or str(error)  # a CompilationError quotes the source before it
        raise EngineError(f"{type(error).__name__}: {words.strip().partition(chr(10))[0]}") from error
    if not is_trusted:
        raise EngineError("they do not give what plain torch gives here")
    return kernels
