#!/usr/bin/env bash
# The bundled model beside real music and floors, from the corpus to the report. Run it again after a stop: it continues.
#   runs/evaluate.sh CORPUS_DIR [OUT_DIR] [more arguments of midi-llm evaluate]
# Needs: pip install 'midi-llm'. On 2 CPU cores: see docs/evaluation.md.
set -euo pipefail
corpus=${1:?"usage: runs/evaluate.sh CORPUS_DIR [OUT_DIR] (a folder with corpus.zip and manifest.jsonl.gz)"}
out=${2:-out/evaluation}
data=$out/data
mkdir -p "$out"

rows=(--set stage1.rows=0 --set short.rows=0 --set full.rows=0)
midi-llm data build --source "corpus:$corpus" --out "$data" "${rows[@]}"
midi-llm data runs "$data"
midi-llm evaluate --data "$data" --out "$out/report" "${@:3}"
