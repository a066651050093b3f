"""Who made the training pieces: one line per source, licence and attribution text, as the licences ask for.

In: a `Corpus` and the source weights of a row specification. Out: Markdown that ships with the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from midi_llm.data.corpus import Corpus


def attribution_markdown(corpus: Corpus, weights: Mapping[str, float]) -> str:
    """Every distinct attribution of the train split's pieces whose source has a weight, with the number of pieces."""
    counts = Counter(
        (piece.source, str(piece.meta["licence"]), _one_line(str(piece.meta["attribution"])))
        for piece in corpus.split("train")
        if weights.get(piece.source, 0.0) > 0.0
    )
    urls = {piece.source: str(piece.meta.get("url") or "") for piece in corpus.pieces}
    lines = [
        "# Attribution of the training data",
        "",
        f"{sum(counts.values())} pieces. All were converted to canonical MIDI, cut into windows, moved in tempo and"
        " pitch, and turned into tokens.",
    ]
    for source in sorted({key[0] for key in counts}):
        total = sum(count for key, count in counts.items() if key[0] == source)
        where = f" <{urls[source]}>" if urls[source].startswith("http") and " " not in urls[source] else ""
        lines += ["", f"## {source}: {total} pieces{where}", ""]
        rows = sorted((key[1], key[2], count) for key, count in counts.items() if key[0] == source)
        lines += [f"- {licence}: {attribution} ({count})" for licence, attribution, count in rows]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """White space folded."""
    return " ".join(text.split())
