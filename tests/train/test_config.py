import itertools
import json
from dataclasses import asdict, replace

import pytest

from midi_llm.errors import RequestError
from midi_llm.train.config import ComputeConfig, OptimConfig, TrainConfig, from_record, with_changes
from midi_llm.train.recipes import RECIPES, stage1_1b, stage2_1b, tiny_cpu


def test_stable_rates_warm_up_stay_and_fall():
    config = OptimConfig(lr=1, warmup_steps=10, decay_from=0.5)
    scales = [config.scale(step, 100) for step in range(101)]
    assert scales[0] == pytest.approx(0.1)
    assert scales[9:51] == [1.0] * 42
    assert scales[75] == pytest.approx(0.5)
    assert scales[100] == 0.0
    assert all(a >= b for a, b in itertools.pairwise(scales[50:]))


def test_a_cosine_ends_at_its_final_share():
    config = OptimConfig(lr=1, warmup_steps=10, schedule="cosine", final_share=0.1)
    assert config.scale(10, 110) == pytest.approx(1.0)
    assert config.scale(60, 110) == pytest.approx(0.55)
    assert config.scale(110, 110) == pytest.approx(0.1)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_the_way_through_json(name):
    config = RECIPES[name]()
    assert config.name == name
    assert from_record(json.loads(json.dumps(asdict(config))), TrainConfig) == config


def test_the_large_recipes_see_as_many_ids_as_the_paper():
    ids = [recipe.steps * recipe.batch_rows * 2048 for recipe in (stage1_1b(), stage2_1b())]
    assert ids == pytest.approx([3.07e9, 5.1e9], rel=0.03)


def test_changes_reach_every_kind_of_setting():
    changes = [
        "steps=7", "optim.lr=1e-4", "optim.matrix_lr=none", "optim.betas=0.8,0.9", "loss.kernel=torch",
        "compute.compile=true", "shape.layers=3", "sample_every=5",
    ]  # fmt: skip
    config = with_changes(tiny_cpu(), changes)
    assert (config.steps, config.optim.lr, config.optim.matrix_lr, config.optim.betas) == (7, 1e-4, None, (0.8, 0.9))
    assert (config.loss.kernel, config.compute.compile, config.shape.layers) == ("torch", True, 3)
    assert config.sample_every == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps", "a change is like optim.lr=1e-4"),
        ("optim.rate=1", "there is no 'rate'; settings here are lr, matrix_lr"),
        ("optim=1", "settings there are optim.lr"),
        ("steps.more=1", "settings there are steps"),
        ("steps=x", "'x' is not a int"),
        ("optim.lr=nan", "'nan' is not a finite number"),
        ("loss.kernel=fast", "allowed are chunked, torch, liger"),
        ("compute.compile=1", "allowed are true and false"),
        ("lora.rank=8", "the recipe tiny_cpu has no lora"),
        ("steps=0", "steps, batch_rows, validate_every, validation_rows, checkpoint_every from 1 on"),
        ("optim.lr=-1", "lr and matrix_lr must be above 0"),
        ("compute.strategy=fsdp", "set optim.matrix_lr=none or compute.strategy=ddp"),
    ],
)
def test_a_wrong_change_says_what_is_allowed(change, message):
    with pytest.raises(RequestError, match=message):
        with_changes(tiny_cpu(), [change])


def test_changes_count_together_whatever_their_order():
    changes = ["compute.strategy=fsdp", "optim.matrix_lr=none"]
    assert with_changes(tiny_cpu(), changes) == with_changes(tiny_cpu(), changes[::-1])


def test_shares_without_muon_may_be_sharded():
    config = replace(tiny_cpu(), optim=OptimConfig(lr=1e-3))
    assert replace(config, compute=ComputeConfig(strategy="fsdp")).compute.strategy == "fsdp"
