"""The bundled model, used by several threads at once: each piece is the one that its seed gives alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from midi_llm.compose.composer import Composer
from midi_llm.compose.piece import Piece
from midi_llm.compose.settings import Settings

PROMPTS = ("a calm piano waltz", "a fast techno track with drums", "a string quartet", "a calm piano waltz")


def test_pieces_composed_side_by_side_are_those_composed_alone() -> None:
    with Composer.open(engine="onnx") as composer:

        def compose(number: int) -> Piece:
            return composer.compose(PROMPTS[number], Settings(seconds=4, seed=number))

        with ThreadPoolExecutor(len(PROMPTS)) as pool:
            together = list(pool.map(compose, range(len(PROMPTS))))
        alone = [compose(number) for number in range(len(PROMPTS))]
    assert [piece.windows for piece in together] == [piece.windows for piece in alone]
    assert len({piece.windows for piece in alone}) == len(PROMPTS)
