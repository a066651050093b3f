"""`midi-llm data`: a text tokenizer, training rows, or the list of attributions, from a corpus folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `data`."""
    parser.add_argument("what", choices=("tokenizer", "rows", "attribution"), help="what to make of the corpus")
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="corpus.zip and manifest.jsonl.gz")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="a new file, or a new folder of rows")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json (for rows)")
    parser.add_argument("--captions", type=int, default=40_000, help="captions to train on (tokenizer, default 40000)")
    parser.add_argument("--vocabulary", type=int, default=4096, help="text ids (tokenizer, default 4096)")
    parser.add_argument("--rows", type=int, default=1024, help="number of rows (default 1024)")
    parser.add_argument("--length", type=int, default=2048, help="ids a row (default 2048)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="train", help="of the corpus")
    parser.add_argument("--captioned", type=float, default=1.0, help="share of rows with a prompt (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2; the result is the same)")


def run(args: argparse.Namespace) -> int:
    """Build it and print what was built as JSON."""
    from tokenizers import Tokenizer

    from midi_llm.cli.files import check_file, write_text
    from midi_llm.data.attribution import attribution_markdown
    from midi_llm.data.corpus import Corpus
    from midi_llm.data.rows import NANO_PROMPT, SOURCE_WEIGHTS, RowSpec, build_rows, sample_captions
    from midi_llm.data.text import train_text_tokenizer
    from midi_llm.errors import RequestError

    if args.what == "tokenizer":
        check_file(args.out, force=False)
        texts = sample_captions(args.corpus, count=args.captions, seed=args.seed)
        train_text_tokenizer(texts, size=args.vocabulary).save(str(args.out))
        print(json.dumps({"tokenizer": str(args.out), "captions": len(texts), "vocabulary": args.vocabulary}))
        return 0
    if args.what == "attribution":
        write_text(attribution_markdown(Corpus(args.corpus), SOURCE_WEIGHTS), args.out, force=False)
        print(json.dumps({"attribution": str(args.out)}))
        return 0
    if args.tokenizer is None or not args.tokenizer.is_file():
        raise RequestError(f"--tokenizer is {args.tokenizer}; rows need the tokenizer.json that `data tokenizer` wrote")
    spec = RowSpec(rows=args.rows, length=args.length, seed=args.seed, split=args.split, captioned=args.captioned)
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    rows = build_rows(
        args.corpus, args.out, tokenizer=tokenizer, prompt_format=NANO_PROMPT, spec=spec, workers=args.workers
    )
    print(json.dumps({"rows": str(args.out), **rows.info}))
    return 0
