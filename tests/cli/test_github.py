"""The regression gate for GitHub: what the check prints there, and the action that runs it, step by step."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from command import run_in
from steelyard.assets import mnist_model, mnist_test
from steelyard.bundle import PLAN, read_plan
from steelyard.cli import github
from steelyard.errors import BundleError
from steelyard.loop import Check
from steelyard.loop.check import Finding
from steelyard.records.base import to_json

ROOT = Path(__file__).parents[2]
SETTINGS = """model = "model.onnx"
p95 = "not a requirement at the top"

[requirements]
# p95 = "1ms"
rate = "10/s"
p99.9 = "5ms"
quality-drop = "1%"
[price]
quality = 3
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "steelyard.toml"
    file.write_text(SETTINGS)
    return file


def finding(what: str, holds: bool = False, told: str = "now: 50%, then: 60%") -> Finding:
    return Finding(what=what, holds=holds, told=told)


def check_of(*findings: Finding) -> Check:
    return Check(bundle="plan", holds=all(f.holds for f in findings), findings=findings)


# What is printed --------------------------------------------------------------------------------------------------


def test_what_fails_is_shown_where_its_requirement_stands(settings: Path) -> None:
    lines = list(github.commands(check_of(finding("quality"), finding("speed"), finding("hashes", True)), settings))
    place = str(settings).replace(":", "%3A")
    assert lines == [
        f"::error file={place},line=8,title=Steelyard%3A quality fails::now: 50%25, then: 60%25",
        f"::error file={place},line=7,title=Steelyard%3A speed fails::now: 50%25, then: 60%25",
        "::notice title=Steelyard%3A hashes holds::now: 50%25, then: 60%25",
    ]


def test_without_the_requirement_the_plan_is_shown(tmp_path: Path, settings: Path) -> None:
    for place, what in ((settings, "memory"), (tmp_path / "none.toml", "quality"), (settings, "something new")):
        (line,) = github.commands(check_of(finding(what)), place)
        assert line.startswith("::error file=plan/plan.json,title=")


def test_paths_count_from_the_root_of_the_repository(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(settings.parent.parent))
    (line,) = github.commands(check_of(finding("speed")), settings)
    assert f"file={settings.parent.name}/steelyard.toml,line=7," in line


def test_several_lines_become_one() -> None:
    line = github.refusal(BundleError("it changed\nyesterday", "weigh again"), Path("plan"))
    assert "\n" not in line
    assert line.endswith("::it changed%0Ayesterday%0Aweigh again")
    assert "file=plan/plan.json" in line


# The action, run step by step -------------------------------------------------------------------------------------

WEIGHED = ("--p95", "20ms", "--quality-drop", "5%", "--within", "5s", "--format", "quiet")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, its data and its settings, as a repository would have it."""
    place = tmp_path_factory.mktemp("repository")
    shutil.copy(mnist_model(), place / "model.onnx")
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        np.savez(place / "val.npz", x=arrays["x"][:600].astype(np.float32) / 255, y=arrays["y"][:600].astype(np.int64))
    assert run_in(place, "weigh", "model.onnx", "--data", "val.npz", *WEIGHED, "--out", "plan").status == 0
    (place / "steelyard.toml").write_text('[requirements]\np95 = "20ms"\nquality-drop = "5%"\n')
    return place


def action() -> Any:
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def run_step(step: Mapping[str, Any], place: Path, inputs: Mapping[str, str], path: str = "") -> tuple[int, str, str]:
    """One step of the action as the runner would run it: status, standard output, the step's outputs."""
    defaults = {name: str(told.get("default", "")) for name, told in action()["inputs"].items()}
    known = {f"inputs.{name}": value for name, value in (defaults | dict(inputs)).items()}
    known["github.action_path"] = str(ROOT)
    variables = {
        name: re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda found: known[found[1]], value)
        for name, value in step["env"].items()
    }
    temp = place / "temp"
    files = {"RUNNER_TEMP": temp, "GITHUB_OUTPUT": temp / "output", "GITHUB_STEP_SUMMARY": temp / "summary"}
    shutil.rmtree(temp, ignore_errors=True)
    (temp / "steelyard" / "bin").mkdir(parents=True)
    (temp / "steelyard" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (temp / "steelyard" / "bin" / "python").chmod(0o755)
    environment = {n: str(p) for n, p in files.items()} | variables | {"GITHUB_WORKSPACE": str(place)}
    environment["PATH"] = os.pathsep.join(filter(None, [path, os.environ["PATH"]]))
    assert step["shell"] == "bash"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=place, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    outputs = (temp / "output").read_text() if (temp / "output").exists() else ""
    return done.returncode, done.stdout, outputs


def step_called(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(step for step in action()["runs"]["steps"] if step["name"] == name)
    return found


def changed(repository: Path, tmp_path: Path, **changes: Any) -> Path:
    """The same repository with another plan."""
    place = Path(shutil.copytree(repository, tmp_path / "changed"))
    plan = read_plan(place / "plan")
    (place / "plan" / PLAN).write_bytes(to_json(msgspec.structs.replace(plan, **changes)))
    return place


def test_no_input_reaches_a_shell_as_code() -> None:
    told = action()
    assert told["runs"]["using"] == "composite"
    assert all("${{" not in step["run"] for step in told["runs"]["steps"])
    used = {word for step in told["runs"]["steps"] for word in re.findall(r"inputs\.(\w+)", str(step["env"]))}
    assert used == set(told["inputs"])


def test_what_holds_passes(repository: Path, tmp_path: Path) -> None:
    plan = read_plan(repository / "plan")
    assert plan.gain is not None
    # On a busy machine the gain may shrink: here the way through is looked at, not the speed.
    slower = msgspec.structs.replace(plan.gain, speed=0.01)
    place = changed(repository, tmp_path, gain=slower)
    status, out, outputs = run_step(step_called("Check the bundle"), place, {"bundle": "plan"})
    assert status == 0, out
    assert [line[:8] for line in out.splitlines()] == ["::notice"] * 3
    assert outputs == "holds=true\n"
    assert "| quality | holds |" in (place / "temp" / "summary").read_text()


def test_what_fails_is_annotated_and_fails_the_job(repository: Path, tmp_path: Path) -> None:
    plan = read_plan(repository / "plan")
    assert plan.gain is not None
    demanded = msgspec.structs.replace(plan.requirements, quality_floor=0.9999)
    faster = msgspec.structs.replace(plan.gain, speed=1e6)
    place = changed(repository, tmp_path, gain=faster, requirements=demanded)
    (place / "data").mkdir()
    (place / "val.npz").rename(place / "data" / "moved to here.npz")
    inputs = {"bundle": "plan", "data": "data/moved to here.npz"}
    status, out, outputs = run_step(step_called("Check the bundle"), place, inputs)
    assert status == 3
    assert "::error file=steelyard.toml,line=3,title=Steelyard%3A quality fails::" in out
    assert "::error file=steelyard.toml,line=2,title=Steelyard%3A speed fails::" in out
    assert outputs == "holds=false\n"
    assert "| speed | **fails** |" in (place / "temp" / "summary").read_text()


def test_a_changed_bundle_is_annotated(repository: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(repository, tmp_path / "changed"))
    artefact = next(f for f in (place / "plan" / "artefacts").rglob("*.onnx"))
    artefact.write_bytes(artefact.read_bytes() + b"!")
    status, out, outputs = run_step(step_called("Check the bundle"), place, {"bundle": "plan"})
    assert status == 2
    assert out.startswith("::error file=plan/plan.json,title=Steelyard%3A the check could not be made::")
    assert "its hash has changed" in out
    assert outputs == "holds=false\n"


def test_it_is_installed_into_a_place_of_its_own(tmp_path: Path) -> None:
    """A Python that only writes down what it is asked stands in: nothing is fetched here."""
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "python3"
    script = (
        '#!/bin/sh\necho "$0 $@" >> asked\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
    )
    stand_in.write_text(script)
    stand_in.chmod(0o755)
    for package, wanted in (("", str(ROOT)), ("steelyard==0.1.0", "steelyard==0.1.0")):
        (tmp_path / "asked").unlink(missing_ok=True)
        given = {"bundle": "plan", "package": package}
        status, out, _ = run_step(step_called("Install Steelyard"), tmp_path, given, str(tmp_path / "bin"))
        assert status == 0, out
        made, installed = (tmp_path / "asked").read_text().splitlines()
        assert made.endswith(f"-m venv {tmp_path}/temp/steelyard")
        assert installed.startswith(f"{tmp_path}/temp/steelyard/bin/python -m pip install")
        assert installed.endswith(wanted)
