"""What the vLLM engine says about machines that are not here: the facts are passed in."""

from __future__ import annotations

import pytest

from midi_llm.engines.vllm_machine import Machine, check_dtype, check_version, memory_share, quantization
from midi_llm.errors import EngineError

GIB = 1 << 30


def gpu(major: int, minor: int, *, free: float = 78.0) -> Machine:
    return Machine(
        kind="cuda",
        name="NVIDIA X1",
        capability=(major, minor),
        free_bytes=int(free * GIB),
        total_bytes=80 * GIB,
    )


@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0)])
def test_fp8_runs_from_compute_capability_8_on(capability: tuple[int, int]) -> None:
    assert quantization("fp8", gpu(*capability)) == "fp8_per_channel"
    assert quantization("fp8_per_tensor", gpu(*capability)) == "fp8_per_tensor"
    assert quantization("bfloat16", gpu(*capability)) is None


@pytest.mark.parametrize("dtype", ["fp8", "fp8_per_tensor", "bfloat16"])
def test_an_older_gpu_is_named_with_what_it_can_do(dtype: str) -> None:
    with pytest.raises(EngineError) as error:
        quantization(dtype, gpu(7, 5))  # type: ignore[arg-type]
    expected = f"NVIDIA X1 has compute capability 7.5; {dtype} needs 8.0 or more: use float16 or float32"
    assert str(error.value) == expected
    assert quantization("float16", gpu(7, 5)) is None
    assert quantization("float32", gpu(7, 5)) is None


@pytest.mark.parametrize("kind", ["cpu", "rocm", "xpu"])
def test_fp8_without_a_cuda_device_is_refused(kind: str) -> None:
    assert quantization("bfloat16", Machine(kind=kind)) is None
    with pytest.raises(EngineError, match=f"'fp8_per_tensor' needs a CUDA device and vLLM has none here .{kind}.; use"):
        quantization("fp8_per_tensor", Machine(kind=kind))


def test_a_second_engine_on_one_gpu_is_told_how_much_is_free() -> None:
    with pytest.raises(EngineError) as error:
        memory_share(0.9, gpu(9, 0, free=6.0), cache_bytes=None)
    assert str(error.value) == (
        "NVIDIA X1 has 6.0 of 80.0 GiB free; memory_share 0.9 asks for 72.0: close what else uses the GPU"
        " (another engine?), or give a memory_share below 0.07"
    )
    assert memory_share(0.05, gpu(9, 0, free=6.0), cache_bytes=None) == 0.05


def test_a_cache_of_a_stated_size_needs_no_share() -> None:
    assert memory_share(0.9, gpu(9, 0, free=20.0), cache_bytes=GIB) == 0.125
    assert memory_share(0.3, gpu(9, 0), cache_bytes=GIB) == 0.3
    assert memory_share(0.9, Machine(kind="cpu"), cache_bytes=None) == 0.9
    shared = Machine(kind="cuda", name="GB10", capability=(12, 1), free_bytes=GIB)
    assert memory_share(0.9, shared, cache_bytes=None) == 0.9


@pytest.mark.parametrize("share", [0.0, -1.0, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(EngineError, match="allowed is above 0 and at most 1"):
        memory_share(share, gpu(9, 0), cache_bytes=None)


def test_number_formats_that_vllm_does_not_make_at_load_are_refused() -> None:
    with pytest.raises(EngineError, match=r"'int8' is not known \(vLLM makes int8 .*; allowed are float32, .*fp8_per"):
        check_dtype("int8")
    with pytest.raises(EngineError, match="'int4' is not known; allowed are float32"):
        check_dtype("int4")
    check_dtype("fp8_per_tensor")


@pytest.mark.parametrize("version", ["0.24.2", "0.33.0", "1.0", "nightly", "0.dev1"])
def test_versions_outside_the_supported_ones_are_refused(version: str) -> None:
    with pytest.raises(EngineError, match=f"vLLM {version} is installed; supported are 0.25 to 0.32: install one"):
        check_version(version)


def test_supported_versions_give_their_numbers() -> None:
    assert check_version("0.25.1") == (0, 25)
    assert check_version("0.32.0+cpu") == (0, 32)
