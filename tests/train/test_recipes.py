"""Recipes: what is said is what holds, and what is misspelt is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from steelyard.errors import UsageError
from steelyard.records.recipe import Chosen, Privacy
from steelyard.train import recipes
from steelyard.train.adversarial import fit_pair
from steelyard.train.fitting import fit
from steelyard.train.pairs import PAIRS

GOOD = """
name = "mine"
[data]
source = "rows.csv"
target = "y"
validation = 0.2
[[prepare]]
name = "standard"
[network]
name = "mlp"
hidden = [8]
[training]
epochs = 3
channels-last = false
[privacy]
epsilon = 4.0
"""


def read(tmp_path: Path, text: str, **changes: object) -> object:
    (tmp_path / "recipe.toml").write_text(text)
    return recipes.read(str(tmp_path / "recipe.toml"), changes)


def test_a_recipe_says_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(GOOD)
    recipe = recipes.read(str(tmp_path / "recipe.toml"), {"training.epochs": 7, "network.hidden": [4]})
    assert recipe.name == "mine"
    assert recipe.data.own == {"source": "rows.csv", "target": "y"}
    assert recipe.data.validation == 0.2
    assert recipe.prepare == (Chosen(name="standard"),)
    assert recipe.network == Chosen(name="mlp", options={"hidden": [4]})
    assert recipe.training.epochs == 7
    assert not recipe.training.channels_last
    assert recipe.privacy == Privacy(epsilon=4.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("epochs", "epoch"), r"unknown setting \[training\] epoch\n  did you mean epochs"),
        (GOOD.replace("[training]", "[trainin]"), r"unknown setting trainin\n  did you mean training"),
        (GOOD.replace("epochs = 3", 'epochs = "three"'), "Expected `int`"),
        (GOOD.replace("epochs = 3", "epochs = 0"), "epochs is 1 or more, got 0"),
        (GOOD.replace("epsilon = 4.0", "epsilon = 0.0"), "epsilon and clip are more than 0"),
        (GOOD.replace('[network]\nname = "mlp"', "[network]"), r"\[network\] has no name"),
        (GOOD.replace("[network]", "[loss]"), r"has no table \[network\]"),
        (GOOD.replace('source = "rows.csv"', ""), "neither a name nor a source"),
        (GOOD.replace('source = "rows.csv"', 'name = "mnist"'), r"unknown setting \[data\] target"),
        (GOOD.replace("[[prepare]]", "[prepare]"), "prepare is a list of tables"),
        ("network = 3\n[data]\nname = 'mnist'", "network is a table, got 3"),
        ("name =", "is no TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    assert re.search(told, str(error.value)), str(error.value)


def test_an_unknown_recipe_tells_which_there_are() -> None:
    with pytest.raises(UsageError, match="there is no recipe nothing") as error:
        recipes.read("nothing")
    assert "digits-conv2" in error.value.hint


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_that_comes_along_can_be_read_and_says_what_it_is(name: str) -> None:
    assert recipes.read(name).name == name
    assert recipes.text_of(name)[0].startswith("# ")


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_that_comes_along_makes_a_step(name: str, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_DATA", str(mirror))
    small = recipes.read(name, {"data.limit": 80, "training.epochs": 1, "training.batch": 80})
    if small.network.name in PAIRS:
        assert [each.steps for each in fit_pair(small).run.epochs] == [1]
        return
    trained = fit(small)
    assert [each.steps for each in trained.run.epochs] == [1]
    assert trained.outputs(trained.part("test")).shape == (80, len(trained.classes))


def test_a_change_below_something_that_is_no_table_is_told() -> None:
    with pytest.raises(UsageError, match="'epochs' is no table"):
        recipes.read("digits-conv2", {"training.epochs.more": 1})
