"""Who made the training pieces: one line per source, licence and attribution text, as the licences ask for.

In: manifest rows. Out: Markdown that ships with the data set and with weights trained on it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from midi_llm.data.manifest import PieceRow

UNSTATED = "licence not stated"


def attribution_markdown(rows: Sequence[PieceRow]) -> str:
    """Every distinct licence and attribution of the train split's usable pieces, with the number of pieces."""
    used = [row for row in rows if row.split == "train" and row.dropped is None]
    counts = Counter(
        (row.source, " ".join(row.metadata.licence.split()) or UNSTATED, " ".join(row.metadata.attribution.split()))
        for row in used
    )
    urls: dict[str, set[str]] = defaultdict(set)
    for row in used:
        urls[row.source].add(row.metadata.url)
    lines = [
        "# Attribution of the training data",
        "",
        f"{len(used)} pieces. All were converted to canonical MIDI, cut into windows, moved in tempo and pitch, and"
        " turned into tokens.",
    ]
    for source in sorted({key[0] for key in counts}):
        total = sum(count for key, count in counts.items() if key[0] == source)
        url = urls[source].pop() if len(urls[source]) == 1 else ""  # where each piece has its own, none is the source's
        where = f" <{url}>" if re.fullmatch(r"https?://[^\s<>]+", url) else ""
        lines += ["", f"## {source}: {total} piece{'s' * (total != 1)}{where}", ""]
        stated = sorted((key[1], key[2], count) for key, count in counts.items() if key[0] == source)
        lines += [f"- {': '.join(filter(None, key))} ({count})" for *key, count in stated]
    return "\n".join(lines) + "\n"
