"""The documents agree with the program, with each other, and with themselves."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from command import run_in
from documents import (
    GUIDES,
    READMES,
    ROOT,
    anchors,
    blocks,
    code,
    every_document,
    headings,
    links,
)
from steelyard.cli.settings import FROM_ENVIRONMENT, PLACES, PREFIX
from steelyard.cluster.node import WORK
from steelyard.datasets.places import CACHE, MIRROR
from steelyard.protocol.addresses import VARIABLE as TOKEN

COMMANDS = (
    *("weigh", "demo", "decide", "check", "explain", "report"),
    *("train", "serve", "load", "replay", "export", "config", "doctor"),
)
OF_OTHERS = {"--nproc-per-node"}  # torchrun's
CHECKED = (*READMES, *GUIDES, ROOT / "docs" / "design.md")


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every flag that some `--help` tells."""
    place = tmp_path_factory.mktemp("help")
    helps = [run_in(place, "--help", COLUMNS="200").out]
    helps += [run_in(place, command, "--help", COLUMNS="200").out for command in COMMANDS]
    flag = re.compile(r"^│ (--[a-z-]+)(?: +(--[a-z-]+))?", re.MULTILINE)  # the second one switches off
    return {name for text in helps for names in flag.findall(text) for name in names if name}


@pytest.mark.parametrize("page", every_document(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(place), f"{page.name} links to {target}; there are {sorted(anchors(place))}"


@pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.name)
def test_every_flag_exists(page: Path, flags: set[str]) -> None:
    assert {"--data", "--quality-drop", "--work", "--subject", "--show"} <= flags
    named = {
        flag for flag in re.findall(r"(?<![\w-])--[a-z][\w.-]*", code(page)) if not re.fullmatch(r"--p[\d.]+", flag)
    }
    named -= OF_OTHERS
    assert named <= flags, f"{page.name} names {sorted(named - flags)}"


@pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.name)
def test_every_environment_variable_is_known(page: Path) -> None:
    named = set(re.findall(PREFIX + r"[A-Z0-9_]+", page.read_text(encoding="utf-8")))
    known = {PREFIX + name.upper() for name in FROM_ENVIRONMENT} | {WORK, TOKEN, MIRROR, CACHE}
    unknown = {name for name in named - known if not re.fullmatch(PREFIX + r"P\d+(_\d+)?", name)}
    assert not unknown, f"{page.name} names {sorted(unknown)}"


def test_every_setting_is_documented() -> None:
    page = ROOT / "docs" / "guide" / "steelyard-toml.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in FROM_ENVIRONMENT if f"`{PREFIX}{name.upper()}`" not in text] == []
    preprocess = (ROOT / "docs" / "guide" / "weigh.md").read_text(encoding="utf-8")
    for table, names in PLACES.items():
        where = preprocess if table == "preprocess" else text
        assert [name for name in names if f"`{name}`" not in where] == [], table


def test_both_readmes_have_the_same_parts() -> None:
    english, chinese = READMES
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(chinese)]
    assert blocks(english) == blocks(chinese)
    assert [t.partition("#")[0] for t in links(english)] == [t.partition("#")[0] for t in links(chinese)]


def test_the_picture_is_small_enough_for_a_first_screen() -> None:
    assert 20_000 < (ROOT / "docs" / "images" / "report.png").stat().st_size < 250_000


def test_the_reference_of_the_plan_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    write_schema = import_module("write_schema")

    folder = ROOT / "docs" / "reference"
    hint = "run scripts/write_schema.py"
    assert (folder / "plan.schema.json").read_text(encoding="utf-8") == write_schema.schema(), hint
    assert (folder / "plan.md").read_text(encoding="utf-8") == write_schema.reference(), hint
