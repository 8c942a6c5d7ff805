"""The space of a search: what recipes may say, what is drawn from it, and what is told of mistakes."""

from __future__ import annotations

import random
import tomllib
from typing import Any

import pytest

from steelyard.errors import UsageError
from steelyard.records.space import Choice, Either, Range, Space
from steelyard.train import recipes
from steelyard.train.proposing import AtRandom
from steelyard.train.space import drawn, size, space_of, standing, told
from steelyard.train.space_check import check

BASE = """
name = "small"
[data]
source = "rows.csv"
target = "y"
[network]
name = "mlp"
width = 64
[optimiser]
name = "adamw"
rate = 1e-3
"""


def content(said: str) -> dict[str, Any]:
    return tomllib.loads(BASE + said)


def space(said: str) -> Space:
    made = space_of(content(said), "r.toml")
    check(made, content(said), "r.toml")
    return made


BOTH = """
[search]
training.batch = [32, 64]
"optimiser.rate" = { low = 1e-4, high = 1e-2, log = true }
[[search.network]]
name = "mlp"
layers = [1, 2]
width = { low = 16, high = 64, step = 16 }
[[search.network]]
name = "mlp"
dropout = 0.0
width = 8
"""


def test_lists_ranges_and_tables_are_read() -> None:
    batch, rate, network = space(BOTH).settings
    assert batch == Choice(path="training.batch", options=(32, 64))
    assert rate == Range(path="optimiser.rate", low=1e-4, high=1e-2, log=True)
    assert isinstance(network, Either)
    assert [each.label for each in network.alternatives] == ["mlp 1", "mlp 2"]
    assert network.alternatives[0].inner[1] == Range(path="width", low=16, high=64, step=16, whole=True)
    assert network.alternatives[1].table == {"name": "mlp", "dropout": 0.0, "width": 8}


def test_a_quoted_path_a_dotted_one_and_a_table_say_the_same() -> None:
    ways = (
        "[search]\ntraining.batch = [1, 2]",
        '[search]\n"training.batch" = [1, 2]',
        "[search.training]\nbatch = [1, 2]",
    )
    assert len({repr(space(way)) for way in ways}) == 1


def test_points_are_counted() -> None:
    assert size(space("[search]\ntraining.batch = [32, 64]\nnetwork.width = { low = 1, high = 3 }")) == 6
    assert size(space(BOTH)) is None
    assert size(space(BOTH.replace('"optimiser.rate"', "#"))) == 2 * (2 * 4 + 1)


def test_what_is_drawn_lies_in_the_space_and_makes_a_recipe() -> None:
    made = space(BOTH)
    for seed in range(30):
        point = drawn(made, AtRandom(random.Random(seed)))
        recipe = recipes.parsed(recipes.changed(content(BOTH), point), "r.toml")
        assert recipe.training.batch in (32, 64)
        assert 1e-4 <= recipe.optimiser.options["rate"] <= 1e-2
        assert recipe.network.options["width"] in (8, 16, 32, 48, 64)
        assert ("layers" in recipe.network.options) == ("dropout" not in recipe.network.options)


def test_a_point_is_told_in_a_line() -> None:
    point = {"optimiser.rate": 0.00316, "training.batch": 32, "network": {"name": "resnet", "width": 16}}
    assert told(point) == "resnet, width 16, rate 0.00316, batch 32"
    assert told({"network.name": "mlp", "network.hidden": [64, 64]}) == "mlp, hidden [64, 64]"


def test_the_recipe_as_it_stands_is_found_in_the_space() -> None:
    assert standing(space(BOTH), content(BOTH)) == {
        "optimiser.rate": 1e-3,
        "network": "mlp 1",
        "network.mlp 1.width": 64,
    }
    assert standing(space("[search]\noptimiser.rate = [1e-3, 1e-2]\nnetwork.width = [8]"), content("")) == {
        "optimiser.rate": "0.001"
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("", r"no table \[search\]"),
        ("[search]", r"\[search\] is a table of settings"),
        ("[search]\ntraining.epoch = [1]", "training.epoch\n.*did you mean epochs"),
        ("[search]\noptimizer.rate = [1]", "optimizer.rate\n.*did you mean optimiser"),
        ("[search]\ndata.limit = [1, 2]", "cannot change data.limit: networks are compared"),
        ("[search]\nseed = [1, 2]", "cannot change seed"),
        ("[search]\ntraining.metric = ['f1']", "cannot change training.metric"),
        ("[search]\noptimiser.rate = 0.1", "a list of values or a range, got 0.1"),
        ("[search]\noptimiser.rate = { low = 1, hihg = 2 }", "hihg\n.*did you mean high"),
        ("[search]\noptimiser.rate = { low = 2, high = 1 }", "from low up to high"),
        ("[search]\noptimiser.rate = { low = 0, high = 1, log = true }", "low is above 0"),
        ("[search]\noptimiser.rate = { low = 0, high = 1, step = 0 }", "step is a number above 0"),
        ("[search]\ntraining.batch = [32, 32]", "has 32 twice"),
        ("[search]\ntraining.batch = []", "a list of values"),
        ("[[search.network]]\nwidth = [8]", "needs a name"),
        ("[[search.training]]\nname = 'x'", "unknown setting training\n"),
        ("[[search.network]]\nname = 'mpl'", "there is no network 'mpl'\n.*did you mean mlp"),
        ("[[search.network]]\nname = 'mlp'\nwitdh = [8]", "no option 'witdh'\n.*did you mean width"),
        ("[search]\nnetwork.widht = [8]", "no option 'widht'"),
        ("[search]\ntraining.epochs = [0, 1]", "epochs is 1 or more"),
        ("[search]\ntraining.batch = ['many']", "Expected `int`"),
        ("[schedule]\nname = 'cosine'\n[search]\nschedule.warmup = [0.1]", "no option 'warmup'\n.*did you mean"),
        ("[search]\nbalance.name = ['weihgts']", "no balance 'weihgts'\n.*did you mean weights"),
        ("[search]\nprepare = [[], [{name = 'standrad'}]]", "standrad"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_what_was_meant(said: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        space(said)


def test_a_recipe_that_may_be_searched_can_also_be_trained_as_it_stands() -> None:
    assert recipes.parsed(content(BOTH), "r.toml") == recipes.parsed(content(""), "r.toml")
