#!/usr/bin/env bash
# The bundled model, from the corpus to a checkpoint with its ONNX files. Run it again after a stop: it resumes exactly.
#   runs/nano.sh CORPUS_DIR [OUT_DIR]
# About 100 minutes on 2 CPU cores. Needs: pip install 'midi-llm[train,export]'.
set -euo pipefail
corpus=${1:?"usage: runs/nano.sh CORPUS_DIR [OUT_DIR] (a folder with corpus.zip and manifest.jsonl.gz)"}
out=${2:-out/nano}
mkdir -p "$out"

rows() { # name rows length seed split captioned
  [ -d "$out/$1" ] || midi-llm data rows --corpus "$corpus" --tokenizer "$out/tokenizer.json" --out "$out/$1" \
    --rows "$2" --length "$3" --seed "$4" --split "$5" --captioned "$6"
}

[ -f "$out/tokenizer.json" ] || midi-llm data tokenizer --corpus "$corpus" --out "$out/tokenizer.json" --seed 1
rows rows1 12800 512 11 train 0.7
rows valid1 128 512 9 valid 0.7
rows rows2 1760 2048 12 train 1.0
rows rows3 1360 1024 13 train 1.0
rows valid2 32 2048 10 valid 1.0

train() { # recipe rows validation out [more]
  midi-llm train "$1" --rows "$out/$2" --validation "$out/$3" --out "$out/$4" "${@:5}"
}
train nano_stage1 rows1 valid1 stage1
train nano_stage2 rows2 valid2 stage2 --start-from "$out/stage1"
rm -rf "$out/checkpoint"
train nano_stage2_short rows3 valid2 stage3 --start-from "$out/stage2" \
  --checkpoint "$out/checkpoint" --tokenizer "$out/tokenizer.json"
midi-llm data attribution --corpus "$corpus" --out "$out/checkpoint/ATTRIBUTION.md"
midi-llm export "$out/checkpoint" --precision int8
