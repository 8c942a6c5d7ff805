"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# OpenVINO and NNCF would report each use to their makers over the network; without this package they do not.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# Nor does ONNX Runtime, which some tests load by themselves.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session", autouse=True)
def helpers_on_the_path() -> None:
    """Child processes find what lies beside this file: runners that misbehave, subjects whose truth is known."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)


@pytest.fixture(scope="session", autouse=True)
def turns_of_their_own() -> Iterator[None]:
    """Tests that run side by side need not take turns at timing: programs do that within one temporary folder."""
    with tempfile.TemporaryDirectory(prefix="steelyard-tests-") as place:
        Path(place).chmod(0o1777)  # as the system's: some tests, and a server that they start, run as another user
        os.environ["TMPDIR"] = tempfile.tempdir = place
        yield


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The local mirror of the data sets; a test that needs it is skipped where there is none, but never in CI."""
    path = Path(os.environ.get("STEELYARD_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if path.is_dir():
        return path
    message = "no local mirror of the data sets: set STEELYARD_DATA to its folder"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def models(mirror: Path) -> Path:
    """The folder of real models beside the mirror of the data sets."""
    return mirror.parent / "models"


@pytest.fixture
def alone() -> list[str]:
    """A network of its own, since Ray opens ports on all addresses."""
    apart = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*apart, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode:
        pytest.skip("may not make a network of its own here")
    return [*apart, "bash", "-c", 'ip link set lo up; exec "$@"', "bash"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; skipped where there is none, but never in CI.

    Playwright keeps an event loop running in this thread meanwhile, in which no test of another module can start one.
    """
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        message = "no chromium: apt-get install chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(BROWSER_ARGUMENTS))
        yield browser
        browser.close()
