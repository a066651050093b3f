"""Random weights of the published shape, made on a device; its bandwidth; and where a figure was measured."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import machine
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE

SHAPES: dict[str, dict[str, int]] = {
    "1b": {"text": 128_256, "hidden": 2048, "layers": 16, "heads": 32, "kv_heads": 8, "inner": 8192},
    "tiny": {"text": 512, "hidden": 128, "layers": 2, "heads": 4, "kv_heads": 2, "inner": 256},
}
POSITIONS = 16_384
"""Fewer than the published 131,072, so that caches of full length stay small; no product depends on it."""
SLICES = (10_001, 1_000, 16_512)
"""Rows of the head that a step under the grammar needs: for a time or the ending, a duration, a note."""
LLAMA3_ROTATION = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def make_model(shape: dict[str, int], device: torch.device, dtype: torch.dtype) -> Any:
    """Random weights on the device; transformers' own initialisation, its seed fixed."""
    config = LlamaConfig(
        vocab_size=shape["text"] + MUSIC_VOCAB_SIZE,
        hidden_size=shape["hidden"],
        intermediate_size=shape["inner"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        head_dim=shape["hidden"] // shape["heads"],
        max_position_embeddings=POSITIONS,
        rope_parameters=dict(LLAMA3_ROTATION),
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=None,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def best_seconds(work: Callable[[], object], device: torch.device, *, rounds: int = 10) -> float:
    """The least time of several rounds, after one that does not count."""
    work()
    taken = []
    for _ in range(rounds):
        synchronize(device)
        began = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def bandwidths(device: torch.device) -> tuple[float, float]:
    """Bytes read and written by a copy, and bytes read by a sum, per second."""
    count = 1 << (30 if device.type == "cuda" else 24)
    source = torch.zeros(count, dtype=torch.bfloat16, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / best_seconds(lambda: target.copy_(source), device)
    return copied, source.nbytes / best_seconds(source.view(torch.int64).sum, device)


def facts(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "body_parameters": sum(weight.numel() for weight in model.model.layers.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "python": platform.python_version(),
        "device": machine.cpu(),
    }
    for package in ("torch", "triton", "transformers", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    if model.device.type == "cuda":
        found["device"] = torch.cuda.get_device_name(model.device)
        found["cuda"] = torch.version.cuda
    try:
        found["commit"] = machine.commit()
    except OSError:
        found["commit"] = "no commit"
    return found


def main() -> None:
    """Write the weights to a folder and print what `gpu_engines` wants to know, as a line of JSON."""
    folder, shape, device = Path(sys.argv[1]), sys.argv[2], torch.device(sys.argv[3])
    copied, read = bandwidths(device)
    model = make_model(SHAPES[shape], device, torch.bfloat16)
    model.save_pretrained(folder)
    print(json.dumps({"shape": shape, **facts(model), "copy_bytes_s": copied, "read_bytes_s": read}))


if __name__ == "__main__":
    main()
