"""Small shard folders for training tests: windows of a scale after a prompt, with controls or packed with text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.corpora import make_score
from midi_llm.data.packing import pack
from midi_llm.data.shards import Segment, ShardSet, ShardSpec, finish, write_shard
from midi_llm.music.score import DRUMS
from midi_llm.tokens.codec import encode, quantize
from midi_llm.tokens.controls import anticipate
from midi_llm.tokens.rests import insert_rests
from midi_llm.tokens.vocab import ANTICIPATE, AUTOREGRESS, SEPARATOR

TEXT_ROWS = 300
LENGTH = 128


def music_segment(
    seed: int, *, notes: int = 38, kind: str = "plain", source: str = "bandgen", text_rows: int = TEXT_ROWS
) -> Segment:
    """A prompt of four text ids and `notes` events; the piano is given where `kind` is "instrument"."""
    prompt = np.random.default_rng(seed).integers(2, text_rows, 4).tolist()
    events = quantize(make_score(seed, bars=8))[:notes]
    if kind == "instrument":
        given = events[:, 2] != DRUMS
        drums = insert_rests(events[~given], int(events[-1, 0]) + 300)
        start, music = ANTICIPATE, anticipate(drums, events[given])
    else:
        start, music = AUTOREGRESS, encode(insert_rests(events))
    ids = np.array([*prompt, *(text_rows + np.array([start, *music, SEPARATOR])).tolist()])
    return Segment(ids=ids, music_start=len(prompt) + 1, kind=kind, source=source)


def text_segment(seed: int, *, count: int = 30) -> Segment:
    """`count` text ids of a small alphabet."""
    return Segment(ids=np.random.default_rng(seed).integers(2, 20, count), music_start=count, kind="text", source="web")


def write_rows(
    folder: Path, rows: list[list[Segment]], *, length: int = LENGTH, text_rows: int = TEXT_ROWS
) -> ShardSet:
    """Two shards of `rows`."""
    spec = ShardSpec(length=length, text_rows=text_rows, sources=("bandgen", "mutopia", "web"))
    half = max(1, len(rows) // 2)
    shards = [part for part in (rows[:half], rows[half:]) if part]
    for index, part in enumerate(shards):
        write_shard(folder, index, part, spec)
    return finish(folder, spec, shards=len(shards), settings={})


def single_rows(folder: Path) -> ShardSet:
    """Eight rows of one segment."""
    return write_rows(folder, [[music_segment(seed)] for seed in range(8)])


def packed_rows(folder: Path) -> ShardSet:
    """Rows of 256 ids with several segments each: music of two sources, infilling, text."""
    music = [music_segment(seed, notes=20 + seed, source=("bandgen", "mutopia")[seed % 2]) for seed in range(8)]
    given = [music_segment(seed, notes=16, kind="instrument") for seed in range(4)]
    texts = [text_segment(seed, count=30 + seed) for seed in range(4)]
    return write_rows(folder, pack([*music, *given, *texts], length=256), length=256)
