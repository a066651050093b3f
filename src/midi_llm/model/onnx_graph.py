"""Write an ONNX graph node by node, its weights to a data file beside it as they come.

In: names, numpy arrays and operators. Out: `NAME.onnx` and `NAME.onnx.data`; no whole model is ever held in memory,
and the 2 GB limit of a graph file does not apply to the data. Products are quantised on the way (`bits`) or left in
float32. Knows no architecture.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from midi_llm.errors import MissingExtraError
from midi_llm.model.quantize import BLOCK, Bits, quantize_blocks
from midi_llm.weights import FloatArray

try:
    from onnx import StringStringEntryProto, TensorProto, helper
except ImportError as error:
    raise MissingExtraError("onnx", "export") from error

_OPSET = 21
_INLINE_BYTES = 1024  # smaller constants stay in the graph, where shape inference can read them
_ALIGNMENT = 4096  # so that ONNX Runtime can map the data
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}


class GraphWriter:
    """A graph under construction, written to `path` on leaving the `with` block; `bits` None keeps float32 products."""

    def __init__(self, path: Path, *, bits: Bits | None) -> None:
        self._path = path
        self._bits = bits
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._initializers: list[Any] = []
        self._count = 0
        self._data = path.with_name(path.name + ".data").open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()
        if error is not None:
            return
        graph = helper.make_graph(
            self._nodes, self._path.stem, self._inputs, self._outputs, initializer=self._initializers
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
        self._path.write_bytes(
            helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="midi-llm").SerializeToString()
        )

    def input(self, name: str, dtype: str, shape: list[int | str]) -> None:
        """Declare a graph input; strings in `shape` are free dimensions."""
        self._inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))

    def output(self, name: str, dtype: str, shape: list[int | str]) -> None:
        """Declare a graph output."""
        self._outputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a constant (in the data file when large) and return `name`."""
        values = np.ascontiguousarray(values)
        tensor = TensorProto(
            name=name, data_type=helper.np_dtype_to_tensor_dtype(values.dtype), dims=list(values.shape)
        )
        if values.nbytes < _INLINE_BYTES:
            tensor.raw_data = values.tobytes()
        else:
            self._data.write(b"\0" * (-self._data.tell() % _ALIGNMENT))
            entries = {"location": Path(self._data.name).name, "offset": self._data.tell(), "length": values.nbytes}
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.extend(
                StringStringEntryProto(key=key, value=str(value)) for key, value in entries.items()
            )
            self._data.write(values.tobytes())
        self._initializers.append(tensor)
        return name

    def node(
        self,
        operator: str,
        inputs: list[str],
        *,
        output: str | None = None,
        extra_outputs: tuple[str, ...] = (),
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node and return the name of its first output (made up when `output` is None)."""
        name = output or self._name(operator)
        outputs = [name, *extra_outputs]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=f"{name}/op", domain=domain, **attributes))
        return name

    def product(self, inputs: str, matrix: FloatArray, *, output: str | None = None) -> str:
        """Add `inputs` [..., K] times the transpose of `matrix` [N, K]."""
        name = self._name("matrix")
        if self._bits is None:
            return self.node("MatMul", [inputs, self.constant(name, matrix.T)], output=output)
        packed, scales = quantize_blocks(matrix, self._bits)
        return self.node(
            "MatMulNBits",
            [inputs, self.constant(name, packed), self.constant(name + ".scales", scales.reshape(-1))],
            output=output,
            domain="com.microsoft",
            N=matrix.shape[0],
            K=matrix.shape[1],
            bits=self._bits,
            block_size=BLOCK,
            accuracy_level=4,  # activations in 8 bits too: the fast path of the CPU
        )

    def norm(
        self, stream: str, branch: str | None, gain: FloatArray, epsilon: float, output: str | None = None
    ) -> tuple[str, str]:
        """Add `branch` to the residual `stream` (None = nothing to add) and take its RMS norm.

        Returns the names of the norm and of the sum.
        """
        weight = self.constant(self._name("gain"), gain)
        if branch is None:
            # ONNX Runtime keeps this operator in the default domain, where `axis` counts from the end.
            normed = self.node(
                "SimplifiedLayerNormalization", [stream, weight], output=output, axis=-1, epsilon=epsilon, stash_type=1
            )
            return normed, stream
        total = self._name("sum")
        normed = self.node(
            "SkipSimplifiedLayerNormalization",
            [stream, branch, weight],
            output=output,
            extra_outputs=("", "", total),
            domain="com.microsoft",
            epsilon=epsilon,
        )
        return normed, total

    def split(self, inputs: str, size: int) -> tuple[str, str]:
        """Halve the last axis of `inputs` into two of `size`."""
        sizes = self.constant(self._name("sizes"), np.array([size, size], dtype=np.int64))
        second = self._name("half")
        return self.node("Split", [inputs, sizes], extra_outputs=(second,), axis=-1), second

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"
