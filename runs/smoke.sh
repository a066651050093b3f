#!/usr/bin/env bash
# The whole way in miniature, in under half a minute on 2 CPU cores: music, data set, both stages, a checkpoint that composes and
# is evaluated.
#   runs/smoke.sh [OUT_DIR]
# Its music is composed by the bundled model, so that nothing is needed but this. Needs: pip install 'midi-llm[train,export]'.
set -euo pipefail
out=${1:-out/smoke}
mkdir -p "$out/music"

for prompt in "a rock song with drums" "a slow piano piece" "a string quartet" "a jazz trio"; do
  midi-llm "$prompt" --quiet --seconds 15 --takes 3 --force -o "$out/music"
done
sets=(--set stage1.rows=24 --set stage1.valid_rows=4 --set short.rows=24 --set short.valid_rows=4 --set full.rows=0)
midi-llm data build --source "folder:$out/music" --out "$out/data" --vocabulary 512 --captions 200 "${sets[@]}"

train() { # out [more]
  midi-llm train tiny_cpu --data "$out/data" --out "$out/$1" --set steps=4 "${@:2}"
}
train stage1 --set rows=stage1 --set loss.on_prompt=true
rm -rf "$out/checkpoint"
train stage2 --start-from "$out/stage1" --checkpoint "$out/checkpoint" --name smoke
midi-llm export "$out/checkpoint" --precision int8
midi-llm "a calm piece" --model "$out/checkpoint" --seconds 2 --force -o "$out/smoke.mid"
midi-llm evaluate --model "$out/checkpoint" --limit 3 --seconds 4 --quiet --out "$out/report"
