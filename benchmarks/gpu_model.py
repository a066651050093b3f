"""Random weights of the published shape, made on the device, and where a figure about them was measured."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import machine
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE

SHAPES: dict[str, dict[str, int]] = {
    "1b": {"text": 128_256, "hidden": 2048, "layers": 16, "heads": 32, "kv_heads": 8, "inner": 8192},
    "tiny": {"text": 512, "hidden": 128, "layers": 2, "heads": 4, "kv_heads": 2, "inner": 256},
}
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
        max_position_embeddings=131_072,
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


def facts(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
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
