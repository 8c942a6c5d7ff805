from __future__ import annotations

import hashlib
import re
from pathlib import Path

import steelyard.report

ASSETS = Path(steelyard.report.__file__).parent / "assets"


def test_vendored_files_are_the_ones_noted() -> None:
    noted = (ASSETS / "README.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", noted, re.MULTILINE)
    assert dict(rows) == {"chart.umd.js": hashlib.sha256((ASSETS / "chart.umd.js").read_bytes()).hexdigest()}


def test_the_version_noted_is_the_one_in_the_file_and_its_licence_lies_beside_it() -> None:
    banner = (ASSETS / "chart.umd.js").read_text()[:200]
    version = re.search(r"Chart\.js v([\d.]+)", banner)
    assert version is not None
    assert f"| {version[1]} |" in (ASSETS / "README.md").read_text()
    assert "MIT License" in (ASSETS / "chart.js.LICENSE").read_text()


def test_the_script_cannot_end_its_own_element() -> None:
    source = (ASSETS / "chart.umd.js").read_text().lower()
    assert "</script" not in source
    assert "<!--" not in source
