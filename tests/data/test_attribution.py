from __future__ import annotations

from data.piece_rows import piece_row
from midi_llm.data.attribution import attribution_markdown
from midi_llm.data.sources.base import Metadata


def test_every_licence_and_attribution_of_the_pieces_trained_on_stands_once_with_its_count() -> None:
    by_ann = Metadata(licence="CC-BY-4.0", attribution="Ann\n  Example", url="https://example.org/x")
    rows = [
        piece_row("a", metadata=by_ann),
        piece_row("b", metadata=by_ann),
        piece_row("c", metadata=Metadata(licence="CC-BY-4.0\n# no heading")),
        piece_row("d", source="games", metadata=Metadata(attribution="Bob", url="javascript:x")),
        piece_row("e", metadata=Metadata(attribution="only valid"), split="valid"),
        piece_row("f", metadata=Metadata(attribution="dropped"), dropped="duplicate"),
    ]
    text = attribution_markdown(rows)
    assert text.splitlines()[2:] == [
        "4 pieces. All were converted to canonical MIDI, cut into windows, moved in tempo and pitch, and turned into"
        " tokens.",
        "", "## folk: 3 pieces", "",
        "- CC-BY-4.0: Ann Example (2)", "- CC-BY-4.0 # no heading (1)",
        "", "## games: 1 piece", "",
        "- licence not stated: Bob (1)",
    ]  # fmt: skip


def test_a_source_is_linked_when_its_pieces_name_an_address() -> None:
    row = piece_row("a", metadata=Metadata(url="https://example.org/x"))
    assert "## folk: 1 piece <https://example.org/x>" in attribution_markdown([row])
