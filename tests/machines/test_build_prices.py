"""The shipped catalogue is what the script makes of its source, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "build_prices.py"
SHIPPED = Path(str(files("steelyard.machines")))
MADE = ("aws_us_east_1.csv", "aws_us_east_1.toml")


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    asked = [sys.executable, str(SCRIPT), "--source", str(source), "--out", str(out)]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


def test_same_source_gives_the_shipped_bytes(mirror: Path, tmp_path: Path) -> None:
    told = build(mirror / "prices_aws_karpenter", tmp_path)
    assert (told.returncode, told.stdout, told.stderr) == (0, "1345 machines\n", "")
    for name in MADE:
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes(), name


@pytest.fixture
def copy(mirror: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("aws_us_east_1.csv", "SOURCE.txt", "zz_generated.pricing_aws.go"):
        shutil.copyfile(mirror / "prices_aws_karpenter" / name, folder / name)
    return folder


def test_price_that_differs_from_the_generated_source_stops_it(copy: Path, tmp_path: Path) -> None:
    table = copy / "aws_us_east_1.csv"
    table.write_text(table.read_text().replace("c7a.large,0.10264,", "c7a.large,0.2,"))
    told = build(copy, tmp_path / "out")
    assert told.returncode == 1
    assert "the price of c7a.large differs" in told.stderr
    assert not (tmp_path / "out").exists()


def test_source_without_its_commit_stops_it(copy: Path, tmp_path: Path) -> None:
    (copy / "SOURCE.txt").write_text("somewhere")
    told = build(copy, tmp_path / "out")
    assert told.returncode == 1
    assert "the source does not hold what was expected" in told.stderr
    assert "Traceback" not in told.stderr


def test_origin_and_licence_are_kept() -> None:
    notes = tomllib.loads((SHIPPED / "aws_us_east_1.toml").read_text(encoding="utf-8"))
    assert str(notes["date"]) == "2026-07-20"
    assert (notes["region"], notes["currency"], notes["file"]) == ("us-east-1", "USD", "aws_us_east_1.csv")
    assert notes["source"]["repository"] == "https://github.com/aws/karpenter-provider-aws"
    assert len(notes["source"]["commit"]) == 40
    assert notes["source"]["licence"] == "Apache-2.0"
    assert "Licensed under the Apache License, Version 2.0" in notes["source"]["notice"]
    assert "Copyright Amazon.com" in notes["source"]["notice"]
