"""`midi-llm export DIR`: make the ONNX files that the CPU engine runs, inside a checkpoint folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

PRECISIONS = ("float32", "int8", "int4")


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    parser.add_argument("model", metavar="NAME|DIR|ID", help="a checkpoint folder (or a model's name)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="int4",
        help="of the weights (default int4, the smallest and fastest)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to (default: DIR/onnx)")


def run(args: argparse.Namespace) -> int:
    """Export and print the folder that was written."""
    from midi_llm.model.catalog import resolve_model
    from midi_llm.model.export_onnx import export_onnx

    folder = resolve_model(args.model)
    print(f"exporting {folder} as {args.precision}", file=sys.stderr)
    print(export_onnx(folder, precision=args.precision, out=args.output))
    return 0
