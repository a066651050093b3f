"""Blockwise symmetric quantisation of weight matrices for ONNX Runtime's MatMulNBits.

In: a float32 matrix [rows, columns] (one row per output). Out: packed 4- or 8-bit integers and one float32 scale per
row and block of 32 columns. The stored integer is the quantised value plus 2^(bits - 1), as the operator expects when
no zero points are given. Each scale is the one of a few candidates with the smallest squared error. Knows no graph.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from midi_llm.weights import FloatArray

Bits = Literal[4, 8]

BLOCK = 32
"""Columns that share a scale; the smallest the operator has, and the most precise."""

_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8)  # clipping the largest weight of a block often lowers the error of the others
_ROWS_AT_ONCE = 4096


def quantize_blocks(matrix: FloatArray, bits: Bits) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Quantise `matrix` [N, K] to packed [N, ceil(K / 32), 32 * bits / 8] uint8 and scales [N, ceil(K / 32)] float32.

    K is padded with zeros to whole blocks. Four-bit values lie in pairs, the earlier one in the low half.
    """
    parts = [_quantize(matrix[row : row + _ROWS_AT_ONCE], bits) for row in range(0, len(matrix), _ROWS_AT_ONCE)]
    return np.concatenate([packed for packed, _ in parts]), np.concatenate([scales for _, scales in parts])


def dequantize_blocks(
    packed: npt.NDArray[np.uint8], scales: FloatArray, columns: int, bits: Literal[4, 8]
) -> FloatArray:
    """Undo `quantize_blocks`: the float32 matrix [N, columns] that the operator multiplies by."""
    stored = packed if bits == 8 else np.stack((packed & 15, packed >> 4), axis=-1).reshape(*packed.shape[:2], BLOCK)
    values = (stored.astype(np.float32) - np.float32(2 ** (bits - 1))) * scales[:, :, None]
    matrix: FloatArray = values.reshape(len(packed), -1)[:, :columns]
    return matrix


def _quantize(matrix: FloatArray, bits: Bits) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    rows, columns = matrix.shape
    blocks = np.pad(matrix, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    levels = np.float32(2 ** (bits - 1))
    # The weight of largest magnitude maps to the one level more that the negative side has.
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    best_scales = np.ones_like(extreme)
    best_levels = np.zeros_like(blocks)
    best_error = np.full_like(extreme, np.inf)
    for shrink in _SHRINK if bits == 4 else _SHRINK[:1]:
        scales = np.where(extreme == 0, np.float32(1), extreme * np.float32(-shrink) / levels)
        quantized = np.clip(np.rint(blocks / scales[:, :, None]), -levels, levels - 1)
        error = np.square(quantized * scales[:, :, None] - blocks).sum(axis=2)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scales = np.where(better, scales, best_scales)
        best_levels = np.where(better[:, :, None], quantized, best_levels)
    stored: npt.NDArray[np.uint8] = (best_levels + levels).astype(np.uint8)
    scales = best_scales.astype(np.float32)
    return (stored if bits == 8 else stored[:, :, 0::2] + np.uint8(16) * stored[:, :, 1::2]), scales
