"""`midi-llm export DIR`: make the ONNX files that the CPU engine runs, or one GGUF file for llama.cpp."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

FORMATS = ("onnx", "gguf")


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    parser.add_argument("model", metavar="NAME|DIR|ID", help="a checkpoint folder (or a model's name)")
    parser.add_argument(
        "--format", choices=FORMATS, default="onnx", help="onnx for this package's engine (default), gguf for llama.cpp"
    )
    parser.add_argument(
        "--precision",
        metavar="P",
        help="of the weights; onnx: float32, int8 or int4 (default int4, the smallest and fastest);"
        " gguf: f32, f16, bf16 or q8_0 (default q8_0, 8 bits)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="where to (default: DIR/onnx, or DIR/model-PRECISION.gguf)"
    )


def run(args: argparse.Namespace) -> int:
    """Export and print the folder or file that was written."""
    from midi_llm.model.catalog import resolve_model

    folder = resolve_model(args.model)
    print(f"exporting {folder} as {args.precision or args.format}", file=sys.stderr)
    wishes: dict[str, Any] = {} if args.precision is None else {"precision": args.precision}
    if args.format == "gguf":
        from midi_llm.model.export_gguf import export_gguf

        print(export_gguf(folder, out=args.output, **wishes))
    else:
        from midi_llm.model.export_onnx import export_onnx

        print(export_onnx(folder, out=args.output, **wishes))
    return 0
