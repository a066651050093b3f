"""What a model needs, against what a machine has: sums checked by hand, machines made up as files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from midi_llm.engines import memory
from midi_llm.engines.base import Engine
from midi_llm.engines.free_memory import free_memory
from midi_llm.engines.memory import (
    Need,
    check_fits,
    check_onnx,
    check_torch,
    check_vllm,
    llama_cache_bytes,
    onnx_need,
    torch_need,
    vllm_need,
)
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.engines.onnx_folder import read_record
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.errors import CheckpointError, EngineError
from midi_llm.weights import Weights

LLAMA_1B = {
    "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 2048, "num_hidden_layers": 16,
    "max_position_embeddings": 2048,
}  # fmt: skip


def config(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found


def test_too_little_memory_is_told_with_both_figures_and_a_way_out() -> None:
    need = Need(weights=4_900_000_000, cache=1_000_000_000, number_format="bfloat16")
    with pytest.raises(EngineError) as error:
        check_fits(need, 3_100_000_000, place="a CPU", remedy="use another")
    assert str(error.value) == (
        "this model needs 5.9 GB on a CPU (4.9 GB weights in bfloat16, 1.0 GB cache) and 3.1 GB are free: use another"
    )
    check_fits(need, 5_900_000_000, place="a CPU", remedy="use another")
    check_fits(need, None, place="a CPU", remedy="use another")


def test_the_cache_of_a_full_take_is_that_of_the_formula() -> None:
    assert llama_cache_bytes(LLAMA_1B, number_bytes=4) == 2 * 16 * 8 * 64 * 2048 * 4
    assert llama_cache_bytes(LLAMA_1B | {"head_dim": 128}, number_bytes=2) == 2 * 16 * 8 * 128 * 2048 * 2
    assert llama_cache_bytes(LLAMA_1B | {"num_key_value_heads": None}, number_bytes=2) == 2 * 16 * 32 * 64 * 2048 * 2
    with pytest.raises(CheckpointError, match="num_hidden_layers"):
        llama_cache_bytes({"num_attention_heads": 32}, number_bytes=4)


def test_torch_needs_all_weights_and_the_joined_ones_twice(tiny_checkpoint: Path) -> None:
    weights = Weights(tiny_checkpoint)
    count = {name: int(np.prod(weights.shape(name))) for name in weights.names}
    twice = sum(
        count[name] for name in count if name.split(".")[-2] in {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"}
    )
    need = torch_need(tiny_checkpoint, config(tiny_checkpoint), "float32")
    assert need.weights == 4 * (sum(count.values()) + twice)
    assert 0 < twice < sum(count.values())
    assert torch_need(tiny_checkpoint, config(tiny_checkpoint), "bfloat16").weights * 2 == need.weights


def test_vllm_counts_eight_bit_layers_as_one_byte_and_a_cache_of_its_own_size(tiny_checkpoint: Path) -> None:
    weights = Weights(tiny_checkpoint)
    count = {name: int(np.prod(weights.shape(name))) for name in weights.names}
    layers = sum(count[name] for name in count if ".layers." in name)
    need = vllm_need(tiny_checkpoint, config(tiny_checkpoint), "fp8", 77)
    assert (need.weights, need.cache) == (2 * sum(count.values()) - layers, 77)
    assert vllm_need(tiny_checkpoint, config(tiny_checkpoint), "float32", None).weights == 4 * sum(count.values())


def test_onnx_needs_its_files_and_a_cache_as_large_as_the_engines_own(tiny_onnx_checkpoint: Path) -> None:

    record = read_record(tiny_onnx_checkpoint, Weights(tiny_onnx_checkpoint))
    need = onnx_need(record)
    files = [file for file in (tiny_onnx_checkpoint / "onnx").iterdir() if file.name != "meta.json"]
    assert need.weights == sum(file.stat().st_size for file in files)
    engine = OnnxEngine(tiny_onnx_checkpoint)
    batch = engine._model.batch(rows=1, positions=record.max_positions)
    assert need.cache == sum(cache.nbytes for cache in batch._cache)


def opened(name: str, folder: Path) -> Engine:
    return OnnxEngine(folder) if name == "onnx" else TorchEngine(folder, device="cpu")


@pytest.mark.parametrize(("name", "way_out"), [("onnx", "--precision int4"), ("torch", "--engine onnx")])
def test_an_engine_does_not_load_what_memory_cannot_hold(
    name: str, way_out: str, tiny_onnx_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 1_000_000)
    with pytest.raises(EngineError, match=rf"needs .* on a CPU .* in float32.* and 1\.0 MB are free: .*{way_out}"):
        opened(name, tiny_onnx_checkpoint)
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    opened(name, tiny_onnx_checkpoint).close()


@pytest.mark.parametrize(
    ("on_cpu", "on_gpu", "found"),
    [
        (1_000_000, 10**12, r"on the way through a CPU .* 1\.0 MB are free: close other programs"),
        (10**12, 2_000_000, r"on a CUDA device .* 2\.0 MB are free: close what else .*--engine onnx"),
    ],
)
def test_a_model_for_a_gpu_must_fit_on_its_way_and_there(
    on_cpu: int, on_gpu: int, found: str, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: on_cpu)
    monkeypatch.setattr(memory, "free_cuda_memory", lambda: on_gpu)
    with pytest.raises(EngineError, match=found):
        check_torch(tiny_checkpoint, "bfloat16", torch.device("cuda"))
    monkeypatch.setattr(memory, "free_memory", lambda: 10**12)
    monkeypatch.setattr(memory, "free_cuda_memory", lambda: 10**12)
    check_torch(tiny_checkpoint, "bfloat16", torch.device("cuda"))


@pytest.mark.parametrize("on_cpu", [True, False])
def test_vllm_is_told_before_it_loads(on_cpu: bool, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 0 if on_cpu else 10**12)
    monkeypatch.setattr(memory, "free_cuda_memory", lambda: 10**12 if on_cpu else 0)
    with pytest.raises(EngineError, match=f"on {'a CPU' if on_cpu else 'a CUDA device'} .*cache_bytes"):
        check_vllm(tiny_checkpoint, config(tiny_checkpoint), "bfloat16", on_cpu=on_cpu, cache=None)
    check_vllm(tiny_checkpoint, config(tiny_checkpoint), "bfloat16", on_cpu=not on_cpu, cache=None)


def test_the_smallest_onnx_weights_are_not_told_to_be_made_smaller(
    tiny_int4_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    with pytest.raises(EngineError, match="close other programs, or use a smaller model"):
        check_onnx(read_record(tiny_int4_checkpoint, Weights(tiny_int4_checkpoint)))


def machine(root: Path, files: dict[str, str]) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


MEMINFO = {"proc/meminfo": "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:  8000 kB\n"}
MB = 1000 * 1024


def test_what_the_kernel_calls_available_is_free(tmp_path: Path) -> None:
    assert free_memory(machine(tmp_path / "plain", MEMINFO)) == 8 * MB
    without_limit = MEMINFO | {"proc/self/cgroup": "0::/user\n", "sys/fs/cgroup/user/memory.max": "max\n"}
    assert free_memory(machine(tmp_path / "max", without_limit)) == 8 * MB


@pytest.mark.parametrize("group", ["/", "/docker/abc", "/not/seen/from/inside"])
def test_the_limit_of_a_control_group_counts_and_its_cached_files_are_free(tmp_path: Path, group: str) -> None:
    base = "sys/fs/cgroup" if group != "/docker/abc" else "sys/fs/cgroup/docker/abc"
    v2 = {
        "proc/self/cgroup": f"0::{group}\n",
        f"{base}/memory.max": f"{5 * MB}\n",
        f"{base}/memory.current": f"{4 * MB}\n",
        f"{base}/memory.stat": f"anon 1\nactive_file {MB}\ninactive_file {2 * MB}\n",
    }
    assert free_memory(machine(tmp_path, MEMINFO | v2)) == (5 - 4 + 1 + 2) * MB
    v1 = {
        "proc/self/cgroup": f"7:blkio:/x\n4:cpu,memory:{group}\n0::/\n",
        f"{base.replace('cgroup', 'cgroup/memory')}/memory.limit_in_bytes": f"{5 * MB}\n",
        f"{base.replace('cgroup', 'cgroup/memory')}/memory.usage_in_bytes": f"{4 * MB}\n",
        f"{base.replace('cgroup', 'cgroup/memory')}/memory.stat": f"total_active_file 0\ntotal_inactive_file {MB}\n",
    }
    assert free_memory(machine(tmp_path, MEMINFO | v1)) == (5 - 4 + 1) * MB


def test_the_tightest_group_on_the_way_up_counts_and_less_than_nothing_is_nothing(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/b/memory.max": f"{7 * MB}\n",
        "sys/fs/cgroup/a/b/memory.current": "0\n",
        "sys/fs/cgroup/a/memory.max": f"{5 * MB}\n",
        "sys/fs/cgroup/a/memory.current": f"{6 * MB}\n",
    }
    assert free_memory(machine(tmp_path, MEMINFO | files)) == 0


def test_without_proc_all_memory_counts(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
