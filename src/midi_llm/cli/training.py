"""What `train` and `finetune` share: recipes by name, the progress of a run, samples of what the model composes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import Settings
from midi_llm.errors import RequestError
from midi_llm.music.roll import piano_roll_svg
from midi_llm.train.config import with_changes
from midi_llm.train.export import export_stage
from midi_llm.train.recipes import RECIPES

if TYPE_CHECKING:
    from midi_llm.train.config import TrainConfig
    from midi_llm.train.loop import OnStep

SAMPLE_SECONDS = 20.0


def stage_config(recipe: str, changes: Sequence[str]) -> TrainConfig:
    """The settings of a recipe after changes. Raises `RequestError` that lists the recipes or the settings."""
    if recipe not in RECIPES:
        raise RequestError(f"recipe is {recipe!r}; recipes are {', '.join(RECIPES)}")
    return with_changes(RECIPES[recipe](), changes)


@contextmanager
def training_progress(config: TrainConfig, *, step: int, shown: bool = True) -> Iterator[OnStep]:
    """A bar on stderr with loss, bits per event, ids a second and the time left; validations stay as lines above it.

    Gives the function that shows the record of a step.
    """
    with tqdm(total=config.steps, initial=step, desc=config.name, unit="step", disable=not shown) as bar:

        def show(record: Mapping[str, Any]) -> None:
            figures = {"loss": f"{record['loss']:.3f}", "bits/event": f"{record['bits_per_event']:.2f}"}
            figures["ids/s"] = f"{record['ids_per_second']:.0f}"
            if "mfu" in record:
                figures["mfu"] = f"{record['mfu']:.1%}"
            bar.set_postfix(figures, refresh=False)
            bar.update()
            if "validation" in record:
                bits = record["validation"]["bits_per_event"]
                bar.write(f"step {record['step']}: validation {bits:.3f} bits/event", file=bar.fp)

        yield show


def compose_sample(out: Path, prompt: str, *, step: int, tokenizer: Path, base: Path | None) -> None:
    """Compose `prompt` with the last state of `out`, into out/samples/STEP.mid and a piano roll beside it."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = export_stage(out, Path(folder, "checkpoint"), tokenizer=tokenizer, base=base, name="sample")
        with Composer.open(str(checkpoint), engine="torch") as composer:
            piece = composer.compose(prompt, Settings(seconds=SAMPLE_SECONDS, seed=0))
    samples = out / "samples"
    samples.mkdir(exist_ok=True)
    piece.save(samples / f"{step:08d}.mid", overwrite=True)
    (samples / f"{step:08d}.svg").write_text(piano_roll_svg(piece.score, title=prompt), encoding="utf-8")
