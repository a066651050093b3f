"""What a machine can do with vLLM: its version, number formats, and memory. Loads neither vLLM nor torch.

In: facts about the machine (`Machine`), and what is asked for. Out: how to ask vLLM for it, or an `EngineError` that
says what was found, what is allowed and what to do, where vLLM would fail late, at length, or not at all. The rules
are those of vLLM's own sources (0.25 to 0.32).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from midi_llm.errors import EngineError

Dtype = Literal["float32", "float16", "bfloat16", "fp8", "fp8_per_tensor"]
"""Of the weights. "fp8" has a scale for each row of a matrix, "fp8_per_tensor" one for all of it: vLLM's
`fp8_per_channel` and `fp8_per_tensor`. The layers' matrices are made so at load; embedding and head stay bfloat16."""

OLDEST, NEWEST = (0, 25), (0, 32)
_QUANTIZATIONS = {"fp8": "fp8_per_channel", "fp8_per_tensor": "fp8_per_tensor"}
_BFLOAT16_SINCE = (8, 0)
_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What vLLM finds: `kind` is its platform ("cuda", "cpu", …); of a GPU the compute capability and bytes.

    `total_bytes` 0: the GPU shares the computer's memory, of which more can become free than CUDA says.
    """

    kind: str
    name: str = ""
    capability: tuple[int, int] | None = None
    free_bytes: int = 0
    total_bytes: int = 0


def check_dtype(dtype: str) -> None:
    """Raise `EngineError` for a number format that is not known."""
    if dtype not in get_args(Dtype):
        hint = " (vLLM makes int8 at load for mixtures of experts only)" if "int8" in dtype else ""
        raise EngineError(f"dtype {dtype!r} is not known{hint}; allowed are {', '.join(get_args(Dtype))}")


def check_version(version: str) -> tuple[int, int]:
    """Major and minor of vLLM's `version`; `EngineError` where it is not supported."""
    numbers = version.split(".")[:2]
    found = tuple(int(part) for part in numbers if part.isdecimal())
    if len(found) != 2 or not OLDEST <= found <= NEWEST:
        allowed = " to ".join(".".join(map(str, bound)) for bound in (OLDEST, NEWEST))
        raise EngineError(f"vLLM {version} is installed; supported are {allowed}: install one of them")
    return found


def quantization(dtype: Dtype, machine: Machine) -> str | None:
    """The quantization to ask vLLM for (None: none) so that weights are `dtype`; `EngineError` where it cannot be.

    From compute capability 8.9 on products are of fp8 numbers; from 8.0 on vLLM's Marlin kernels keep the weights in
    fp8 and multiply bfloat16.
    """
    quantized = _QUANTIZATIONS.get(dtype)
    if machine.kind != "cuda":
        if quantized is not None:
            raise EngineError(
                f"dtype {dtype!r} needs a CUDA device and vLLM has none here ({machine.kind}); use bfloat16 or float32"
            )
        return None
    needs_new = quantized is not None or dtype == "bfloat16"
    if needs_new and machine.capability is not None and machine.capability < _BFLOAT16_SINCE:
        found, least = (".".join(map(str, version)) for version in (machine.capability, _BFLOAT16_SINCE))
        raise EngineError(
            f"{machine.name} has compute capability {found}; {dtype} needs {least} or more: use float16 or float32"
        )
    return quantized


def memory_share(asked: float, machine: Machine, *, cache_bytes: int | None) -> float:
    """The share of the GPU's memory to name to vLLM; `EngineError` where so much is not free.

    vLLM sizes the cache from the share, unless `cache_bytes` does; it compares the share with what is free in any case,
    after taking some itself. So with `cache_bytes` the share is at most half of what is free.
    """
    if not 0.0 < asked <= 1.0:
        raise EngineError(f"memory_share is {asked}; allowed is above 0 and at most 1, 0.9 is usual")
    if machine.kind != "cuda" or not machine.total_bytes:
        return asked
    free = machine.free_bytes / machine.total_bytes
    if cache_bytes is not None:
        return min(asked, free / 2)
    if asked > free:
        raise EngineError(
            f"{machine.name} has {machine.free_bytes / _GIB:.1f} of {machine.total_bytes / _GIB:.1f} GiB free;"
            f" memory_share {asked:g} asks for {asked * machine.total_bytes / _GIB:.1f}: close what else uses the GPU"
            f" (another engine?), or give a memory_share below {free:.2f}"
        )
    return asked
