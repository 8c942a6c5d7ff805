"""What a recipe says of its data: windows of long sequences, targets that are mixed, a few items for a first try."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from made_examples import columns, series, texts
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError, UsageError
from steelyard.records.recipe import Chosen, DataChoice, Recipe, Windows
from steelyard.train import recipes
from steelyard.train.data import prepare
from steelyard.train.fitting import fit
from training_here import pictures, recipe, table

LONG = series((60, 75) * 10)


def with_data(made: Recipe, **said: object) -> Recipe:
    return msgspec.structs.replace(made, data=msgspec.structs.replace(made.data, **said))


def test_windows_of_one_sequence_or_person_are_in_one_part() -> None:
    made = with_data(recipe("gru"), windows=Windows(steps=20, every=10))
    found = prepare(made, LONG)
    assert sum(found.told.items.values()) == 10 * (5 + 6)
    assert any("cut into 110 windows of 20 steps, one every 10" in told for told in found.told.prepared)
    groups = [set(np.asarray(part.groups).tolist()) for part in found.raw.named.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20
    assert not found.told.leaks
    assert found.raw.test.inputs["sequence"].shape[1:] == (20, 2), "what is exported takes windows"


def test_windows_are_said_in_a_table_of_their_own(tmp_path: Path) -> None:
    text = '[data]\nname = "har-watch"\n[data.windows]\nsteps = 100\nevery = 50\n[network]\nname = "gru"\n'
    (tmp_path / "r.toml").write_text(text)
    assert recipes.read(str(tmp_path / "r.toml")).data == DataChoice(
        name="har-watch", windows=Windows(steps=100, every=50)
    )
    (tmp_path / "r.toml").write_text(text.replace("every", "evry"))
    with pytest.raises(UsageError, match=r"\[data.windows\] evry\n.*did you mean every"):
        recipes.read(str(tmp_path / "r.toml"))
    (tmp_path / "r.toml").write_text(text.replace("50", "0"))
    with pytest.raises(UsageError, match="steps and every are 1 or more"):
        recipes.read(str(tmp_path / "r.toml"))


def test_windows_of_what_is_no_sequence_are_refused() -> None:
    with pytest.raises(DataError, match="windows are cut from sequences, these are table"):
        fit(with_data(recipe(), windows=Windows(steps=4)), table())


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_mixup_learns_how_many_classes_there_are(balance: str) -> None:
    mixed = msgspec.structs.replace(
        recipe("digits-conv2", epochs=4), augment=(Chosen(name="mixup"),), balance=Chosen(name=balance)
    )
    assert fit(mixed, pictures()).evaluate().accuracy.value > 0.8  # type: ignore[union-attr]


def test_tokens_cannot_be_mixed() -> None:
    words = texts(*(f"{'yes' if row % 2 else 'no'} it is number {row}" for row in range(40)))
    with pytest.raises(DataError, match="means nothing for tokens"):
        fit(msgspec.structs.replace(recipe("transformer"), augment=(Chosen(name="mixup"),)), words)


def test_a_few_items_for_a_first_try_come_from_all_over() -> None:
    by_class: Examples = columns(targets=np.repeat([0, 1], 100), x=np.arange(200.0))
    found = prepare(with_data(recipe(), limit=10), by_class)
    assert found.told.items == {"training": 10, "validation": 10, "test": 10}
    assert np.bincount(found.training.targets).tolist() == [5, 5]
