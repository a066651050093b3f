"""Working on files: is what is kept kept, do the seams fit, does the text count?

    python benchmarks/edits.py CORPUS [--pieces 12] [--seed 0] [--model nano] [--engine auto] [-o table.md]

Pieces of the corpus's test split with a known tempo, every command on each of them. "Kept" is the share of the notes
left alone that are in the new file at the same ticks; "on the grid" of the new onsets within 15 ms of sixteenths or
triplets; "in key" of the new melodic notes on the pitch classes of 95 % of the old piece's notes; "density" new notes
over those they replace. The text: the same edit with "sparse, few notes" and with "dense, many notes"; "order" is how
often the dense one has more notes (50 % is no effect).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import machine
from midi_llm import Composer
from midi_llm.compose.editing import Edit, accompanied, continued, infilled, mean_tempo, own, replaced, varied
from midi_llm.compose.editor import describe, edit_takes
from midi_llm.compose.settings import Settings
from midi_llm.data.sources.base import RawPiece
from midi_llm.data.sources.corpus import CorpusSource
from midi_llm.errors import MidiLLMError
from midi_llm.music.quantise import grid_lines
from midi_llm.music.score import DRUMS
from midi_llm.music.song_file import SongFile, parse_song

BASS = 33
COMMANDS: dict[str, Callable[[SongFile], Edit]] = {
    "continue (12 s)": lambda song: continued(song, seconds=12),
    "infill (bars 5-8)": lambda song: infilled(song, first=5, last=8),
    "accompany (bass, drums)": lambda song: accompanied(song, instruments=frozenset({BASS, DRUMS})),
    "replace (busiest part)": lambda song: replaced(song, old=busiest(song), new=busiest(song)),
    "vary (half)": lambda song: varied(song, share=0.5, seed=0),
}
FEWEST_BARS, LONGEST_SECONDS = 9, 75.0
GRID_SECONDS, KEY_SHARE = 0.015, 0.95


def busiest(song: SongFile) -> frozenset[int]:
    """The melodic instrument with the most notes."""
    counts = Counter(song.notes.instrument[song.notes.instrument != DRUMS].tolist())
    return frozenset({counts.most_common(1)[0][0]}) if counts else own(song)


def songs(corpus: Path, count: int, seed: int) -> list[SongFile]:
    """Pieces of the test split with a known tempo, two instruments and a usual length, of every source in turn."""
    source = CorpusSource(corpus)
    found: dict[str, list[SongFile]] = {}
    for part in source.parts():
        for piece in source.read(part):
            if isinstance(piece, RawPiece) and piece.metadata.split == "test" and piece.metadata.tempo_is_known:
                song = opened(piece)
                if song is not None:
                    found.setdefault(piece.source, []).append(song)
    rng = np.random.default_rng(seed)
    queues = [[pieces[index] for index in rng.permutation(len(pieces))] for _, pieces in sorted(found.items())]
    turns = [song for turn in range(count) for queue in queues for song in queue[turn : turn + 1]]
    return turns[:count]


def opened(piece: RawPiece) -> SongFile | None:
    try:
        song = parse_song(piece.data, name=piece.id)
    except MidiLLMError:
        return None
    seconds = float(song.notes.time.max())
    fits = len(song.bars) > FEWEST_BARS and 15 < seconds < LONGEST_SECONDS and len(own(song) - {DRUMS}) >= 2
    return song if fits else None


def rows(song: SongFile, kept: np.ndarray | None = None) -> Counter[tuple[int, ...]]:
    chosen = slice(None) if kept is None else kept
    columns = (song.start, song.end, song.notes.instrument, song.notes.pitch, song.notes.velocity)
    return Counter(zip(*(column[chosen].tolist() for column in columns), strict=True))


def judge(song: SongFile, edit: Edit, composer: Composer, seed: int) -> dict[str, float]:
    began = time.perf_counter()
    (take,) = edit_takes(composer, edit, "", Settings(seed=seed))
    spent = time.perf_counter() - began
    again = parse_song(take.content, name="again")
    kept = rows(song, ~edit.removed)
    lost = kept - rows(again)
    start = take.added["start"] / song.ticks_per_quarter
    off = np.abs(grid_lines(start) - start) * 60 / mean_tempo(song)
    weights = np.bincount(song.notes.pitch[song.notes.instrument != DRUMS] % 12, minlength=12)
    order = np.argsort(-weights)
    used = set(order[: int(np.searchsorted(np.cumsum(weights[order]), KEY_SHARE * weights.sum())) + 1].tolist())
    melodic = take.added[take.added["instrument"] != DRUMS]
    found = {
        "kept": 1 - sum(lost.values()) / max(sum(kept.values()), 1),
        "on the grid": float((off <= GRID_SECONDS).mean()) if len(off) else float("nan"),
        "in key": float(np.isin(melodic["pitch"] % 12, list(used)).mean()) if len(melodic) else float("nan"),
        "density": len(take.added) / take.removed if take.removed else float("nan"),
        "seconds": spent,
    }
    base = describe(edit)
    words = ("sparse, few notes", "dense, many notes")
    counts = [len(edit_takes(composer, edit, f"{base}, {word}", Settings(seed=seed))[0].added) for word in words]
    found["order"] = float(np.sign(counts[1] - counts[0]) / 2 + 0.5)
    return found


def table(judged: dict[str, list[dict[str, float]]]) -> str:
    lines = [
        "| command | kept | on the grid | in key | density (median) | text: order | s an edit |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in judged.items():
        columns = {key: [one[key] for one in found if not np.isnan(one[key])] for key in found[0]}
        density = f"{statistics.median(columns['density']):.2f}" if columns["density"] else "-"
        shares = [f"{100 * statistics.mean(columns[key]):.1f} %" for key in ("kept", "on the grid", "in key")]
        order = f"{100 * statistics.mean(columns['order']):.0f} % of {len(columns['order'])}"
        lines.append(
            f"| {name} | {' | '.join(shares)} | {density} | {order} | {statistics.median(columns['seconds']):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--pieces", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    chosen = songs(args.corpus, args.pieces, args.seed)
    judged: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    with Composer.open(args.model, engine=args.engine) as composer:
        for number, song in enumerate(chosen):
            for name, make in COMMANDS.items():
                judged[name].append(judge(song, make(song), composer, args.seed + number))
            print(f"{number + 1:3} of {len(chosen)}  {song.name}", flush=True)
    text = table(judged)
    text += f"\n\n{len(chosen)} pieces, model {args.model}, seeds from {args.seed}"
    text += f"; {machine.describe('onnxruntime', 'numpy')}"
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
