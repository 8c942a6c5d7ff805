"""ONNX Runtime on a GPU: for real where there is one; elsewhere that it is not offered, and how it would be opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import TensorProto, helper

from steelyard.errors import CandidateFailure
from steelyard.records.engine import SessionSettings
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo, TensorInfo
from steelyard.runtimes import RUNTIMES, lacking, needs, open_session
from steelyard.runtimes.onnxruntime_gpu import cuda_options, require_provider, tensorrt_options
from steelyard.subjects.space import space
from steelyard.testing import check_runtime, tiny_model

GPU = [name for name, spec in RUNTIMES.items() if spec.device == "gpu"]
MACHINE = Machine(cpu="made up", arch="x86_64", cores=2, memory_mb=8000, devices=("a GPU",))


@pytest.mark.parametrize("name", GPU)
def test_keeps_the_contract_where_there_is_a_gpu(name: str) -> None:
    if lacks := lacking(RUNTIMES[name]):
        pytest.skip(f"{name}: {lacks}")
    check_runtime(RUNTIMES[name])


@pytest.mark.parametrize("name", GPU)
def test_without_a_gpu_it_is_refused_with_the_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "sees_gpu", lambda: False)
    monkeypatch.setattr("steelyard.runtimes._version_of", lambda package: "1.0")
    monkeypatch.setattr("steelyard.runtimes._lacking", lambda path: getattr(needs, path.partition(":")[2])())
    assert lacking(RUNTIMES[name]) == "there is no NVIDIA GPU, or its driver is missing"
    with pytest.raises(CandidateFailure, match="no NVIDIA GPU") as caught:
        open_session(name, tiny_model.write(tmp_path / "m", "onnx"), SessionSettings())
    assert caught.value.kind == "unsupported"


def test_an_onnxruntime_without_the_provider_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "sees_gpu", lambda: True)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPU"])
    assert needs.cuda_provider() == ""
    assert "has no TensorrtExecutionProvider, only CUDAExecutionProvider, CPU" in needs.tensorrt_provider()


def test_a_gpu_is_seen_by_its_device_file(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    assert not needs.sees_gpu(tmp_path)
    (tmp_path / "dev/nvidia0").touch()
    assert needs.sees_gpu(tmp_path)


def test_candidates_on_a_gpu_are_few_and_take_larger_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.subjects.space.lacking", lambda spec: "")
    tensor = TensorInfo(name="x", dtype="float32", shape=(None, 3))
    model = ModelInfo(path="/m", format="onnx", inputs=(tensor,), outputs=(tensor,), files=("m",), size=1, sha256="0")
    found = [c for c in space(model, MACHINE) if c.runtime in GPU]
    cuda = [c.id for c in found if (c.variant, c.runtime) == ("original", "onnxruntime-cuda")]
    assert cuda == [f"original.onnxruntime-cuda.f32.t1s{streams}b128" for streams in (1, 2, 4)]
    tensorrt = [c.id for c in found if (c.variant, c.runtime) == ("tf32", "onnxruntime-tensorrt")]
    assert tensorrt == ["tf32.onnxruntime-tensorrt.tf32.t1s1b128"]


def test_a_silent_fall_back_to_the_processor_is_refused() -> None:
    require_provider(["CUDAExecutionProvider", "CPUExecutionProvider"], "CUDAExecutionProvider")
    with pytest.raises(CandidateFailure, match="fell back to CPUExecutionProvider"):
        require_provider(["CPUExecutionProvider"], "CUDAExecutionProvider")


def test_precision_reaches_the_providers(tmp_path: Path) -> None:
    path = written(tmp_path, ["n", 3])
    half = SessionSettings(precision="f16")
    assert cuda_options(SessionSettings())[1]["use_tf32"] == "0"
    assert cuda_options(SessionSettings(precision="tf32"))[1]["use_tf32"] == "1"
    assert tensorrt_options(path, half)[1]["trt_fp16_enable"] == "True"
    assert tensorrt_options(path, SessionSettings())[1]["trt_fp16_enable"] == "False"


def test_tensorrt_prepares_one_engine_for_all_batches_where_only_the_batch_varies(tmp_path: Path) -> None:
    def profile(shape: Sequence[str | int]) -> dict[str, str]:
        options = tensorrt_options(written(tmp_path, shape), SessionSettings(max_batch=16))[1]
        return {name: text for name, text in options.items() if "profile" in name}

    assert profile(["n", 3, 8]) == {
        "trt_profile_min_shapes": "x:1x3x8",
        "trt_profile_opt_shapes": "x:16x3x8",
        "trt_profile_max_shapes": "x:16x3x8",
    }
    assert profile(["n", "time"]) == {}
    assert profile([4, 3]) == {}


def test_the_gpu_package_brings_the_processors_runtime_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "steelyard.runtimes._version_of", lambda package: "1.2" if package == "onnxruntime-gpu" else None
    )
    assert lacking(RUNTIMES["onnxruntime"]) == ""
    alone = msgspec.structs.replace(RUNTIMES["onnxruntime"], also=())
    assert "not installed" in lacking(alone)


def written(folder: Path, shape: Sequence[str | int]) -> Path:
    path = folder / "m.onnx"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "made", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph), path)
    return path
