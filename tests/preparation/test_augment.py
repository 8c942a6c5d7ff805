"""Augmentation: what each does to a batch that shows it; one seed, one result; nothing written to what came in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from steelyard.errors import UsageError
from steelyard.preparation import augment
from steelyard.preparation.augment import AUGMENTATIONS, Augmentation, chain, make

IMAGES = torch.rand(16, 3, 12, 10, generator=torch.Generator().manual_seed(0))
SERIES = torch.randn(16, 30, 4, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(0, 50, (16, 20), generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(16) % 3
OPTIONS: dict[str, dict[str, Any]] = {"affine": {"rotate": 20, "scale": 0.2, "shift": 0.1}, "mixup": {"classes": 3}}


def batch_for(name: str) -> Tensor:
    path = AUGMENTATIONS[name]
    return TOKENS if "text" in path else SERIES if "sequences" in path else IMAGES


def done(augmentation: Augmentation, batch: Tensor, seed: int = 0, targets: Tensor = CLASSES) -> tuple[Tensor, Tensor]:
    return augmentation(batch, targets, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_all_keep_the_contract(name: str) -> None:
    batch = batch_for(name)
    before = batch.clone()
    made = make(name, OPTIONS.get(name))
    changed, targets = done(made, batch)
    assert torch.equal(batch, before)
    assert changed.shape == batch.shape
    assert changed.dtype == batch.dtype
    assert len(targets) == len(batch)
    assert not torch.equal(changed, batch)
    assert torch.isfinite(changed.float()).all()
    assert torch.equal(changed, done(made, batch)[0])
    assert not torch.equal(changed, done(made, batch, seed=1)[0])


def spot(row: int, column: int, size: int = 21) -> Tensor:
    """One lit pixel."""
    image = torch.zeros(1, 1, size, size)
    image[0, 0, row, column] = 1
    return image


def centre(image: Tensor) -> tuple[float, float]:
    """Of the light."""
    mass = image[0, 0] / image.sum()
    places = torch.arange(mass.shape[0], dtype=torch.float)
    return float((mass.sum(1) * places).sum()), float((mass.sum(0) * places).sum())


def extreme(monkeypatch: pytest.MonkeyPatch, module: str, value: float) -> None:
    """Random numbers that all say: as far as it goes."""
    constant: Callable[..., Tensor] = lambda shape, like, generator: torch.full(tuple(shape), value).to(like)  # noqa: E731
    monkeypatch.setattr(f"steelyard.preparation.{module}.uniform", constant)


def test_turning_by_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spot right of the centre goes above or below it, at the same distance."""
    extreme(monkeypatch, "augment_images", 1.0)
    row, column = centre(done(make("rotate", {"degrees": 90}), spot(10, 16), targets=CLASSES[:1])[0])
    assert abs(row - 10) == pytest.approx(6, abs=0.1)
    assert column == pytest.approx(10, abs=0.1)


def test_turning_does_not_shear_what_is_wider_than_high(monkeypatch: pytest.MonkeyPatch) -> None:
    extreme(monkeypatch, "augment_images", 1.0)
    wide = torch.zeros(1, 1, 21, 41)
    wide[0, 0, 10, 26] = 1
    turned = done(make("rotate", {"degrees": 90}), wide, targets=CLASSES[:1])[0][0, 0]
    row, column = divmod(int(turned.argmax()), 41)
    assert (abs(row - 10), column) == (6, 20)


def test_enlarging_and_shifting(monkeypatch: pytest.MonkeyPatch) -> None:
    extreme(monkeypatch, "augment_images", 1.0)
    _, column = centre(done(make("scale", {"share": 0.5}), spot(10, 14), targets=CLASSES[:1])[0])
    assert column == pytest.approx(16, abs=0.2)
    row, column = centre(done(make("shift", {"share": 2 / 21}), spot(10, 14), targets=CLASSES[:1])[0])
    assert (10 - row, 14 - column) == pytest.approx((2, 2), abs=0.1)


def test_nothing_at_all_changes_nothing() -> None:
    still = done(make("affine"), IMAGES)[0]
    assert torch.allclose(still, IMAGES, atol=1e-6)
    for name, options in (("flip", {"chance": 0.0}), ("erase", {"chance": 0.0})):
        assert torch.equal(done(make(name, options), IMAGES)[0], IMAGES)
    for name, options in (("jitter", {"deviation": 0.0}), ("magnitude", {"share": 0.0}), ("warp", {"share": 0.0})):
        assert torch.allclose(done(make(name, options), SERIES)[0], SERIES, atol=1e-5), name


def test_cropping_moves_by_whole_pixels() -> None:
    changed = done(make("crop", {"pixels": 2}), IMAGES)[0]
    wide = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2))
    places = set()
    for item, image in enumerate(changed):
        found = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(image, wide[item, :, down : down + 12, right : right + 10])
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 5


def test_flipping_mirrors_some() -> None:
    changed = done(make("flip"), IMAGES)[0]
    same = [torch.equal(one, other) for one, other in zip(changed, IMAGES, strict=True)]
    mirrored = [torch.equal(one, other.flip(2)) for one, other in zip(changed, IMAGES, strict=True)]
    assert all(one != other for one, other in zip(same, mirrored, strict=True))
    assert 2 < sum(mirrored) < 14
    upside_down = done(make("flip", {"chance": 1.0, "vertical": True}), IMAGES)[0]
    assert torch.equal(upside_down, IMAGES.flip(2))


def test_erasing_makes_one_rectangle_of_zeros() -> None:
    ones = torch.ones(200, 2, 20, 30)
    changed = done(make("erase", {"size": 0.4, "chance": 1.0}), ones, targets=torch.zeros(200))[0]
    for item in changed:
        assert torch.equal(item[0], item[1])
        rows, columns = ((item[0] == 0).any(axis) for axis in (1, 0))
        assert torch.equal(item[0] == 0, rows[:, None] & columns[None])
        assert rows.sum() <= 9
        assert columns.sum() <= 13
    assert (changed == 0).float().mean() > 0.02


def test_mixup_mixes_items_and_targets_alike() -> None:
    marked = torch.nn.functional.one_hot(CLASSES, 3).float()[:, None, None, :].expand(-1, 1, 2, 3).contiguous()
    changed, targets = done(make("mixup", {"classes": 3, "alpha": 1.0}), marked)
    assert torch.allclose(changed[:, 0, 0], targets)
    assert torch.allclose(targets.sum(1), torch.ones(16))
    assert (targets.max(1).values >= 0.5 - 1e-6).all()
    assert ((targets > 0.01) & (targets < 0.99)).any()
    values = done(make("mixup"), IMAGES, targets=torch.linspace(0, 1, 16))[1]
    assert values.shape == (16,)
    with pytest.raises(ValueError, match="needs the number of classes"):
        done(make("mixup"), IMAGES)


def test_mixups_shares_are_of_the_beta_distribution() -> None:
    """Folded at a half: the mean of max(share, 1 - share) of Beta(1, 1) is 3/4."""
    batch = torch.stack([torch.ones(20_000), torch.zeros(20_000)]).T.reshape(40_000, 1)
    _, targets = done(make("mixup", {"alpha": 1.0, "classes": 2}), batch, targets=torch.arange(40_000) % 2)
    apart = targets[(targets > 0) & (targets < 1)]
    assert apart[apart >= 0.5].mean() == pytest.approx(0.75, abs=0.01)


def test_jitter_leaves_what_fills_up() -> None:
    padded = SERIES.clone()
    padded[:, 20:] = 0
    changed = done(make("jitter", {"deviation": 0.1}), padded)[0]
    assert not changed[:, 20:].any()
    assert (changed - padded)[:, :20].std() == pytest.approx(0.1, rel=0.1)


def test_magnitude_is_one_factor_for_each_channel() -> None:
    factors = done(make("magnitude", {"share": 0.3}), SERIES)[0] / SERIES
    assert torch.allclose(factors, factors[:, :1].expand_as(factors), atol=1e-4)
    assert factors.min() > 0.69
    assert factors.max() < 1.31
    assert factors[:, 0].std() > 0.1


def test_warping_runs_forward_and_keeps_the_ends() -> None:
    ramp = torch.arange(30.0)[None, :, None].expand(16, -1, 1).contiguous()
    warped = done(make("warp", {"share": 0.5}), ramp)[0]
    assert (warped.diff(dim=1) > 0).all()
    assert torch.allclose(warped[:, 0], ramp[:, 0])
    assert torch.allclose(warped[:, -1], ramp[:, -1], atol=1e-4)
    assert (warped - ramp).abs().max() > 0.5


def test_token_dropout_spares_what_is_no_word() -> None:
    changed = done(make("token-dropout", {"chance": 0.5}), TOKENS)[0]
    dropped = changed != TOKENS
    assert (changed[dropped] == 1).all()
    assert not dropped[TOKENS < 4].any()
    assert 0.4 < dropped[TOKENS >= 4].float().mean() < 0.6


def test_a_chain_goes_in_order() -> None:
    both = chain([("flip", {"chance": 1.0}), ("mixup", {"classes": 3})])
    changed, targets = done(both, IMAGES)
    generator = torch.Generator().manual_seed(0)
    expected = make("flip", {"chance": 1.0})(IMAGES, CLASSES, generator)
    expected = make("mixup", {"classes": 3})(*expected, generator)
    assert torch.equal(changed, expected[0])
    assert torch.equal(targets, expected[1])
    assert torch.equal(done(chain([]), IMAGES)[0], IMAGES)


@pytest.mark.parametrize(
    ("name", "options", "said", "hint"),
    [
        ("rotat", {}, "no augmentation is called 'rotat'", "did you mean rotate?"),
        ("rotate", {"degree": 3}, "the augmentation 'rotate' has no option 'degree'", "did you mean degrees?"),
        ("affine", {"scale": 2.0}, "the augmentation 'affine': scale = 2.0", ""),
        ("crop", {"pixels": 0}, "pixels = 0, at least 1", ""),
        ("mixup", {"alpha": 0}, "alpha = 0, above 0", ""),
        ("warp", {"knots": 1}, "knots = 1 are at least 2", ""),
        ("erase", {"size": 0}, "size = 0 is a share", ""),
        ("token-dropout", {"chance": 1.0}, "chance = 1.0 lies between 0 and 1", ""),
        ("crop", {"pixels": "two"}, "the augmentation 'crop':", ""),
    ],
)
def test_what_cannot_be_made(name: str, options: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(name, options)
    assert said in caught.value.message
    assert caught.value.hint == hint


def test_random_numbers_reach_both_ends() -> None:
    drawn = augment.uniform((1000,), IMAGES, torch.Generator().manual_seed(0))
    assert drawn.min() < -0.98
    assert drawn.max() > 0.98
