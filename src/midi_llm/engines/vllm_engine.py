"""Decode with vLLM: many requests side by side, scheduled together, on a GPU (or on a CPU, for tests).

In: a checkpoint folder. Out: the ids that vLLM draws, each of them checked by its request's own constraint. The grammar
reaches vLLM as numbers (`TripletRules`), so a request's constraint must be a `RuledConstraint`, or None. Streams share
one step loop in this process: whoever needs ids steps for all. Differs from the other engines: 1. vLLM has its own
random stream, so a seed repeats here but gives other ids than there; 2. no guidance; 3. temperatures below 0.01 are
drawn as 0.01 (vLLM's floor), 0 is greedy; 4. opening it seeds this process's global random streams with 0 (vLLM does).
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from midi_llm.engines.base import Request, Step, check_requests
from midi_llm.engines.decoding import OpenRequest
from midi_llm.engines.memory import check_vllm
from midi_llm.engines.rules import Layout, RuledConstraint, TripletRules
from midi_llm.engines.vllm_rules import extra_args
from midi_llm.errors import CheckpointError, EngineError, MissingExtraError, RequestError, TokenError

Rules = Mapping[str, Any]
Dtype = Literal["float32", "float16", "bfloat16", "fp8"]

OLDEST, NEWEST = (0, 25), (0, 32)
_FIRST_V2_PROCESSORS = (0, 31)
_V1_PROCESSOR = "midi_llm.engines.vllm_v1:V1GrammarProcessor"
_V2_PROCESSOR = "midi_llm.engines.vllm_v2:V2GrammarProcessor"
_FP8 = "fp8_per_channel"
_MAX_SEQUENCES = 256
_CPU_SEQUENCES = 32
"""Of full length, that the cache of a CPU holds; more are served in turn."""


class VllmEngine:
    """Decode with vLLM. `dtype` None is bfloat16; "fp8" keeps the layers' weights in eight bits (a GPU is needed).

    `memory_share` of the GPU is used; `cache_bytes` sets the size of the key-value cache instead. Raises
    `MissingExtraError` without vLLM, `EngineError` for a version that is not supported or a machine that cannot,
    `CheckpointError` for a wrong folder.
    """

    name = "vllm"

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        dtype: Dtype | None = None,
        memory_share: float = 0.9,
        cache_bytes: int | None = None,
    ) -> None:
        config = _read_config(checkpoint_dir)
        chosen = dtype or "bfloat16"
        if chosen not in get_args(Dtype):
            raise EngineError(f"dtype {chosen!r} is not known; allowed are {', '.join(get_args(Dtype))}")
        self.vocab_size = int(config["vocab_size"])
        self.max_positions = int(config["max_position_embeddings"])
        self._engine: Any = _open(checkpoint_dir, config, chosen, memory_share, cache_bytes)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._arrived: dict[str, deque[tuple[list[int], bool]]] = {}
        self._layout: Layout | None = None

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Decode all `requests` side by side and yield their ids as they come.

        Raises `RequestError` for guidance, `EngineError` for a constraint that states no rules or allows nothing.
        """
        self._opened()
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        takes = [OpenRequest(index, request, vocab_size=self.vocab_size) for index, request in enumerate(requests)]
        rules = [self._rules(take) for take in takes]
        return self._decode(list(zip(takes, rules, strict=True)), cancel)

    def close(self) -> None:
        """Free the weights; the engine cannot be used afterwards."""
        if self._engine is not None:
            from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

            self._engine.engine_core.shutdown()
            self._engine = None
            cleanup_dist_env_and_memory()

    def _opened(self) -> Any:
        if self._engine is None:
            raise EngineError("this engine was closed; open the checkpoint again")
        return self._engine

    def _rules(self, take: OpenRequest) -> Rules | None:
        """The rules that vLLM shall carry out for a request."""
        request = take.request
        if request.params.guidance != 1.0:
            raise RequestError(
                f"guidance is {request.params.guidance:g}; the vllm engine allows 1 (off): use the engine torch or onnx"
            )
        if request.constraint is None or take.finish_reason is not None:
            return None
        if not isinstance(request.constraint, RuledConstraint):
            raise EngineError(
                f"request {take.index} has a {type(request.constraint).__name__}, which states no rules; the vllm"
                " engine needs a constraint with rules(), or the engine torch or onnx"
            )
        _require_choice(take)
        numbers = request.constraint.rules()
        layout = TripletRules.from_numbers(numbers).layout
        self._layout = self._layout or layout
        if layout != self._layout:
            raise EngineError(f"request {take.index} has {layout}; this engine already serves {self._layout}")
        return numbers

    def _decode(self, takes: list[tuple[OpenRequest, Rules | None]], cancel: threading.Event | None) -> Iterator[Step]:
        yield from (take.end("stop") for take, _ in takes if take.finish_reason is not None)
        open_takes = {self._add(take, rules): take for take, rules in takes if take.finish_reason is None}
        try:
            while open_takes:
                if cancel is not None and cancel.is_set():
                    yield from [take.end("cancelled") for take in open_takes.values()]
                    return
                for name, token_ids, is_over in self._arrivals(list(open_takes)):
                    take = open_takes[name]
                    yield from _advance(take, token_ids, is_over)
                    if take.finish_reason is not None:
                        self._drop([name])
                        del open_takes[name]
        finally:
            self._drop(list(open_takes))

    def _add(self, take: OpenRequest, rules: Rules | None) -> str:
        """Hand a request to vLLM; returns the name under which its ids arrive."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        name = str(next(self._numbers))
        params = take.request.params
        sampling = SamplingParams(
            temperature=params.temperature,
            top_p=params.top_p,
            seed=params.seed,
            max_tokens=params.max_tokens,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            extra_args=extra_args(rules),
        )
        prompt_ids = [int(token_id) for token_id in take.request.prompt_ids]
        with self._lock:
            self._arrived[name] = deque()
            self._opened().add_request(name, {"type": "token", "prompt_token_ids": prompt_ids}, sampling)
        return name

    def _arrivals(self, names: list[str]) -> list[tuple[str, list[int], bool]]:
        """Ids that have come for `names`, and whether vLLM has ended the request; steps when there are none."""
        with self._lock:
            if not any(self._arrived[name] for name in names):
                for output in self._opened().step():
                    if output.request_id in self._arrived:
                        ids = [token_id for part in output.outputs for token_id in part.token_ids]
                        self._arrived[output.request_id].append((ids, output.finished))
            found = [(name, *arrival) for name in names for arrival in self._arrived[name]]
            for name in names:
                self._arrived[name].clear()
        return found

    def _drop(self, names: list[str]) -> None:
        """Forget requests; vLLM stops those that it still decodes."""
        with self._lock:
            for name in names:
                del self._arrived[name]
            if names and self._engine is not None:
                self._engine.abort_request(names)


def _advance(take: OpenRequest, token_ids: list[int], is_over: bool) -> Iterator[Step]:
    """Yield the steps of `token_ids`, up to the request's end; what vLLM has drawn beyond it is dropped."""
    for token_id in token_ids:
        try:
            yield take.advance(token_id)
        except TokenError as error:
            raise EngineError(f"vLLM drew an id against the rules it was given: {error}") from error
        if take.finish_reason is not None:
            return
        _require_choice(take)
    if is_over:
        raise EngineError(f"vLLM ended request {take.index} before its budget was spent and before its grammar ended")


def _require_choice(take: OpenRequest) -> None:
    """Raise `EngineError` where the constraint of an open request allows no id at all."""
    allowed = take.allowed()
    in_slice = allowed.start < allowed.stop and (allowed.mask is None or allowed.mask.any())
    if not in_slice and not allowed.extra:
        raise EngineError("no id is allowed here; the constraint must end the request or allow at least one id")


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} has no readable config.json; a whole Llama checkpoint is needed") from error
    if config.get("model_type") != "llama":
        raise CheckpointError(f"{folder} has model_type {config.get('model_type')!r}; this engine runs 'llama'")
    return config


def _open(folder: Path, config: dict[str, Any], dtype: Dtype, memory_share: float, cache_bytes: int | None) -> Any:
    """Return vLLM's step loop over the checkpoint, in this process."""
    version = load_vllm()
    from vllm import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.executor import Executor

    on_cpu = bool(current_platform.is_cpu())
    if on_cpu and dtype == "fp8":
        raise EngineError("dtype 'fp8' needs a CUDA device and vLLM has none here; use bfloat16 or float32")
    cache_bytes = cache_bytes or (_cpu_cache_bytes(config, dtype) if on_cpu else None)
    check_vllm(folder, config, dtype, on_cpu=on_cpu, cache=cache_bytes)
    positions = int(config["max_position_embeddings"]) + 1  # the id drawn at the last position needs none itself
    arguments = EngineArgs(
        model=str(folder),
        dtype="bfloat16" if dtype == "fp8" else dtype,
        quantization=_FP8 if dtype == "fp8" else None,
        max_model_len=positions,
        hf_overrides={"max_position_embeddings": positions},
        max_num_seqs=_MAX_SEQUENCES,
        gpu_memory_utilization=memory_share,
        kv_cache_memory_bytes=cache_bytes,
        enable_prefix_caching=True,
        enforce_eager=on_cpu,
        skip_tokenizer_init=True,
        use_tqdm_on_load=False,
        generation_config="vllm",
        disable_log_stats=True,
        logits_processors=[_V1_PROCESSOR] if version < _FIRST_V2_PROCESSORS else None,
    )
    try:
        settings = arguments.create_engine_config()
        if version >= _FIRST_V2_PROCESSORS:
            processor = _V2_PROCESSOR if settings.use_v2_model_runner else _V1_PROCESSOR
            settings.model_config.logits_processors = [processor]
        return LLMEngine(settings, Executor.get_class(settings), log_stats=False, multiprocess_mode=False)
    except (OSError, ValueError, RuntimeError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"vLLM cannot open {folder}: {cause}") from error


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
    major, minor = (int(part) for part in vllm.__version__.split(".")[:2])
    if not OLDEST <= (major, minor) <= NEWEST:
        allowed = " to ".join(".".join(map(str, bound)) for bound in (OLDEST, NEWEST))
        raise EngineError(f"vLLM {vllm.__version__} is installed; supported are {allowed}: install one of them")
    return major, minor


def _cpu_cache_bytes(config: dict[str, Any], dtype: Dtype) -> int:
    """Bytes of keys and values of `_CPU_SEQUENCES` sequences of full length."""
    heads = int(config.get("num_key_value_heads") or config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    per_position = 2 * int(config["num_hidden_layers"]) * heads * width * (4 if dtype == "float32" else 2)
    return per_position * int(config["max_position_embeddings"]) * _CPU_SEQUENCES
