#!/usr/bin/env bash
# The bundled model, from the corpus to a checkpoint with its ONNX files. Run it again after a stop: it resumes exactly.
#   runs/nano.sh CORPUS_DIR [OUT_DIR] [more arguments of midi-llm train, for every stage]
# About 8 minutes on one H200 after 2 minutes for the rows on 16 cores. On two CPU cores it would take a week: lower the
# steps (--set steps=N), rows a step (--set batch_rows=8), and add --set compute.compile=false.
# Needs: pip install 'midi-llm[train,export]'.
set -euo pipefail
corpus=${1:?"usage: runs/nano.sh CORPUS_DIR [OUT_DIR] [more] (a folder with corpus.zip and manifest.jsonl.gz)"}
out=${2:-out/nano}
more=("${@:3}")
data=$out/data
mkdir -p "$out"

midi-llm data build --source "corpus:$corpus" --preset nano --out "$data"

train() { # recipe out [more]
  midi-llm train "$1" --data "$data" --out "$out/$2" "${@:3}" "${more[@]}"
}
train nano_stage1 stage1
train nano_stage2 stage2 --start-from "$out/stage1"
rm -rf "$out/checkpoint"
train nano_stage2_full stage3 --start-from "$out/stage2" --checkpoint "$out/checkpoint" --name nano
cp "$data/ATTRIBUTION.md" "$out/checkpoint/"
midi-llm export "$out/checkpoint" --precision int8
