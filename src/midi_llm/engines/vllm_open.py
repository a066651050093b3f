"""Open vLLM over a checkpoint, in this process, with the grammar's logits processor and, if asked for, a sliced head.

In: a folder and its configuration. Out: vLLM's `LLMEngine`. What the machine cannot do is found before anything is
loaded (`vllm_machine`). Raises `MissingExtraError` without vLLM, `EngineError` with vLLM's first line where it fails.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from midi_llm.engines.memory import check_vllm
from midi_llm.engines.rules import Layout
from midi_llm.engines.vllm_machine import Dtype, Machine, check_version, memory_share, quantization
from midi_llm.errors import EngineError, MissingExtraError

_FIRST_V2_PROCESSORS = (0, 31)
_V1_PROCESSOR = "midi_llm.engines.vllm_v1:V1GrammarProcessor"
_V2_PROCESSOR = "midi_llm.engines.vllm_v2:V2GrammarProcessor"
_MAX_SEQUENCES = 256
_CPU_SEQUENCES = 32
"""Of full length, that the cache of a CPU holds; more are served in turn."""
_open_engines: WeakSet[Any] = WeakSet()


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """How a checkpoint shall be opened."""

    dtype: Dtype
    memory_share: float
    cache_bytes: int | None
    layout: Layout | None
    """The ids that can be drawn; None: all."""


def open_vllm(folder: Path, config: dict[str, Any], wanted: Wanted) -> Any:
    """Open vLLM over the checkpoint in `folder`, whose config.json is `config`."""
    version = load_vllm()
    machine = _machine()
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.executor import Executor

    settings = _settings(folder, config, wanted, machine)
    _require_alone()
    if version < _FIRST_V2_PROCESSORS:
        settings["logits_processors"] = [_V1_PROCESSOR]
    try:
        made = EngineArgs(**settings).create_engine_config()
        if version >= _FIRST_V2_PROCESSORS:
            made.model_config.logits_processors = [_V2_PROCESSOR if made.use_v2_model_runner else _V1_PROCESSOR]
        engine = LLMEngine(made, Executor.get_class(made), log_stats=False, multiprocess_mode=False)
    except (OSError, ValueError, RuntimeError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"vLLM cannot open {folder}: {cause}") from error
    _open_engines.add(engine)
    return engine


def most_sequences() -> int:
    """How many requests are decoded side by side at most, and at best: all of a CPU's cache, or vLLM's limit."""
    from vllm.platforms import current_platform

    return _CPU_SEQUENCES if current_platform.is_cpu() else _MAX_SEQUENCES


def close_vllm(engine: Any) -> None:
    """Free what `open_vllm` opened."""
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    engine.engine_core.shutdown()
    _open_engines.discard(engine)
    cleanup_dist_env_and_memory()


def _require_alone() -> None:
    """Raise `EngineError` where an engine is open.

    vLLM's engines share their process groups, and the first one that is shut down takes them from the others.
    """
    gc.collect()  # an engine that nobody has closed and nobody holds is none
    if _open_engines:
        raise EngineError("a vLLM engine is open in this process, and vLLM serves one at a time there: close it first")


def _settings(folder: Path, config: dict[str, Any], wanted: Wanted, machine: Machine) -> dict[str, Any]:
    """The arguments of vLLM's `EngineArgs`."""
    quantized = quantization(wanted.dtype, machine)
    share = memory_share(wanted.memory_share, machine, cache_bytes=wanted.cache_bytes)
    on_cpu = machine.kind == "cpu"
    cache_bytes = wanted.cache_bytes or (_cpu_cache_bytes(config, wanted.dtype) if on_cpu else None)
    check_vllm(folder, config, wanted.dtype, on_cpu=on_cpu, cache=cache_bytes)
    positions = int(config["max_position_embeddings"]) + 1  # the id drawn at the last position needs none itself
    overrides: dict[str, Any] = {"max_position_embeddings": positions}
    if wanted.layout is not None:
        from midi_llm.engines.vllm_head import register

        layout = wanted.layout
        overrides |= {"architectures": [register()], "drawn_ids": [layout.first_id, layout.width, layout.separator]}
    return {
        "model": str(folder),
        "dtype": "bfloat16" if quantized else wanted.dtype,
        "quantization": quantized,
        "max_model_len": positions,
        "hf_overrides": overrides,
        "max_num_seqs": _MAX_SEQUENCES,
        "gpu_memory_utilization": share,
        "kv_cache_memory_bytes": cache_bytes,
        "enable_prefix_caching": True,
        "enforce_eager": on_cpu,
        "skip_tokenizer_init": True,
        "use_tqdm_on_load": False,
        "generation_config": "vllm",
        "disable_log_stats": True,
    }


def load_vllm() -> tuple[int, int]:
    """Major and minor version of the vLLM installed; `EngineError` for one that is not supported or does not load."""
    # Read when vLLM is imported: its own process would need a main module that can be imported, and a library is quiet.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    try:
        import vllm
        import vllm.engine.arg_utils
    except ModuleNotFoundError as error:
        if error.name == "vllm":
            raise MissingExtraError("vllm", "vllm") from error
        raise EngineError(f"vLLM cannot be loaded ({error}): install what it lacks") from error
    except ImportError as error:
        raise EngineError(f"vLLM cannot be loaded ({error}): install it for the torch that is here") from error
    return check_version(vllm.__version__)


def _machine() -> Machine:
    """The platform that vLLM has chosen, and of a CUDA device what it can do and holds."""
    import torch
    from vllm.platforms import current_platform

    if not current_platform.is_cuda():
        return Machine(kind=str(current_platform.device_name))
    torch.cuda.empty_cache()  # what a closed engine has left in this process counts as free
    free, total = torch.cuda.mem_get_info()
    properties = torch.cuda.get_device_properties()
    return Machine(
        kind="cuda",
        name=properties.name,
        capability=(properties.major, properties.minor),
        free_bytes=free,
        total_bytes=0 if properties.is_integrated else total,
    )


def _cpu_cache_bytes(config: dict[str, Any], dtype: Dtype) -> int:
    """Bytes of keys and values of `_CPU_SEQUENCES` sequences of full length."""
    heads = int(config.get("num_key_value_heads") or config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    per_position = 2 * int(config["num_hidden_layers"]) * heads * width * (4 if dtype == "float32" else 2)
    return per_position * int(config["max_position_embeddings"]) * _CPU_SEQUENCES
