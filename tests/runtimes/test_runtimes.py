from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import CandidateFailure, UsageError
from steelyard.records.engine import RuntimeSpec, SessionSettings
from steelyard.runtimes import RUNTIMES, lacking, open_session, open_with
from steelyard.testing import check_runtime, tiny_model

EVERY = sorted(RUNTIMES)
QUICK = [name for name, spec in RUNTIMES.items() if spec.device == "cpu" and not spec.compiles]
"""Those that open a model at once; the others are tested in files of their own."""


def skip_unless_usable(name: str) -> None:
    if lacks := lacking(RUNTIMES[name]):
        pytest.skip(f"{name}: {lacks}")


@pytest.mark.parametrize("name", QUICK)
def test_keeps_the_contract(name: str) -> None:
    skip_unless_usable(name)
    check_runtime(RUNTIMES[name])


def test_the_table_is_keyed_by_name() -> None:
    assert {name: spec.name for name, spec in RUNTIMES.items()} == {name: name for name in RUNTIMES}


def test_the_table_imports_no_engine() -> None:
    script = (
        "import sys, steelyard.runtimes, steelyard.variants\n"
        "heavy = {'onnx', 'onnxruntime', 'openvino', 'nncf', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_runtime_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="onnxruntime, onnxruntime-cuda"):
        open_session("tensorrt", tmp_path / "m.onnx", SessionSettings())


def test_a_missing_package_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    absent = RuntimeSpec(
        name="absent", opener="a:b", package="no-such-package-9", reads=("onnx",), precisions=("f32",), extra="train"
    )
    with pytest.raises(CandidateFailure, match="not installed") as caught:
        open_with(absent, tmp_path / "m.onnx", SessionSettings())
    assert caught.value.kind == "unsupported"
    assert caught.value.hint == "pip install 'steelyard[train]'"


@pytest.mark.parametrize("name", EVERY)
def test_refuses_a_precision_that_it_does_not_have(name: str, tmp_path: Path) -> None:
    skip_unless_usable(name)
    path = tiny_model.write(tmp_path / "m", "onnx")
    with pytest.raises(CandidateFailure, match="not in f8"):
        open_session(name, path, SessionSettings(precision="f8"))


@pytest.mark.parametrize("settings", [SessionSettings(threads=0), SessionSettings(streams=0)])
def test_refuses_settings_that_make_no_sense(settings: SessionSettings, tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "m", "onnx")
    with pytest.raises(UsageError, match="at least 1 thread and 1 stream"):
        open_session("onnxruntime", path, settings)


def test_onnxruntime_does_not_read_an_ir(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "m", "openvino")
    with pytest.raises(CandidateFailure, match=r"onnxruntime reads onnx, not tiny\.xml"):
        open_session("onnxruntime", path, SessionSettings())


@pytest.mark.parametrize("name", QUICK)
def test_an_input_of_the_wrong_shape_ends_in_one_line(name: str, tmp_path: Path) -> None:
    skip_unless_usable(name)
    session = open_session(name, tiny_model.write(tmp_path / "m", "onnx"), SessionSettings())
    with pytest.raises(CandidateFailure, match="cannot run") as caught:
        session.run(0, {tiny_model.INPUT: np.zeros((2, tiny_model.FEATURES + 1), np.float32)})
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", QUICK)
def test_takes_arrays_that_must_not_be_written_to(name: str, tmp_path: Path) -> None:
    """Requests come off the wire as read-only views of the bytes received."""
    skip_unless_usable(name)
    session = open_session(name, tiny_model.write(tmp_path / "m", "onnx"), SessionSettings())
    inputs = tiny_model.items(3)
    received = np.frombuffer(inputs["x"].tobytes(), np.float32).reshape(3, tiny_model.FEATURES)
    np.testing.assert_allclose(session.run(0, {"x": received})[0], tiny_model.answers(inputs), atol=1e-5)


def test_importing_openvino_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    """Left alone, the import opens a connection and leaves an identifier in the home folder."""
    script = (
        "import sys\n"
        "sys.addaudithook(lambda event, _: sys.exit(event) if event == 'socket.connect' else None)\n"
        "import steelyard.runtimes.openvino, steelyard.variants.int8_nncf\n"
        "import nncf.telemetry\n"
        "assert type(nncf.telemetry.telemetry).__name__ == 'MagicMock'\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    assert not list(tmp_path.iterdir())


def test_opening_a_model_in_onnxruntime_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    """Left alone, loading it leaves an identifier and a store of events in the home folder, and sends them."""
    model = tiny_model.write(tmp_path / "m", "onnx")
    script = (
        "from pathlib import Path\n"
        "from steelyard.records.engine import SessionSettings\n"
        "from steelyard.runtimes import open_session\n"
        f"open_session('onnxruntime', Path({str(model)!r}), SessionSettings())\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-c", script], check=True, env={"HOME": str(home), "PATH": "/usr/bin:/bin"})
    assert not list(home.iterdir())


class Forgetful:
    """A runtime with the faults that the contract is there to find."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.buffer = np.zeros((5, tiny_model.OUTPUTS), np.float32)

    def run(self, stream: int, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        out = tiny_model.answers(inputs)
        if self.fault == "second stream" and stream == 1:
            return [out + 1]
        if self.fault == "shape":
            return [out.ravel()]
        if self.fault == "shared buffer":
            self.buffer[: len(out)] = out
            return [self.buffer[: len(out)]]
        return [out + 0.01] if self.fault == "wrong" else [out]


def open_forgetful(path: Path, settings: SessionSettings, fault: str) -> Forgetful:
    text = path.read_bytes()
    if b"this is no model" in text and fault != "opens anything":
        raise UsageError("no model")
    return Forgetful(fault)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("wrong", "answers are off"),
        ("shape", "expected answers of shape"),
        ("shared buffer", "overwrote the outputs"),
        ("second stream", "stream 1 of 2"),
        ("opens anything", "opens a nonsense file"),
    ],
)
def test_the_contract_finds_faults(fault: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "open_it", lambda path, s: open_forgetful(path, s, fault), raising=False)
    spec = RuntimeSpec(
        name="forgetful", opener=f"{__name__}:open_it", package="numpy", reads=("onnx",), precisions=("f32",)
    )
    with pytest.raises(AssertionError, match=told):
        check_runtime(spec)


def test_the_contract_accepts_a_runtime_without_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "open_it", lambda path, s: open_forgetful(path, s, ""), raising=False)
    check_runtime(
        RuntimeSpec(name="mine", opener=f"{__name__}:open_it", package="numpy", reads=("onnx",), precisions=("f32",))
    )
