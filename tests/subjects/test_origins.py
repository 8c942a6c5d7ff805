"""Other models that were given as variants: what is made of them, what they are called, which ones are refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from made_networks import reader
from steelyard.cluster.parcels import pack
from steelyard.errors import ModelError, UsageError
from steelyard.models.inspect import inspect
from steelyard.records.candidate import Candidate
from steelyard.records.data import Prepared
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo, TensorInfo
from steelyard.subjects.model import ModelSubject
from steelyard.subjects.origins import check_interface, check_names
from steelyard.subjects.space import space

MACHINE = Machine(cpu="made up", arch="x86_64", cores=2, memory_mb=8000, features=("avx512_vnni", "avx512_bf16"))
DATA = Prepared(
    folder="/data", source="s", sha256="d", calibration={}, judging={}, labels=None,
    items_calibrate=0, items_select=300, items_confirm=300,
)  # fmt: skip


def model(name: str = "m", size: int = 400, operators: tuple[str, ...] = ("Gemm",)) -> ModelInfo:
    x, y = (TensorInfo(name=n, dtype="float32", shape=(None, width)) for n, width in (("x", 3), ("y", 10)))
    return ModelInfo(
        path=f"/models/{name}.onnx", format="onnx", inputs=(x,), outputs=(y,), files=(f"{name}.onnx",),
        size=size, sha256=name, operators=operators, layers=1,
    )  # fmt: skip


def tried(**others: ModelInfo) -> dict[str, set[str]]:
    """Variant → runtimes."""
    found: dict[str, set[str]] = {}
    for candidate in space(model(), MACHINE, others=others):
        found.setdefault(candidate.variant, set()).add(candidate.runtime)
    return found


def test_another_model_is_run_as_it_is_and_in_fewer_bits_in_every_runtime() -> None:
    plain, more = tried(), tried(small=model("small"))
    assert more["small"] == plain["original"]
    assert more["small-int8-nncf"] == {"openvino"}
    assert set(more) - set(plain) == {
        "small", "small-bf16", "small-int8-dynamic", "small-int8-nncf", "small-int8-static",
    }  # fmt: skip


def test_what_is_in_8_bits_already_is_only_run() -> None:
    more = tried(quantised=model("quantised", operators=("DequantizeLinear", "Gemm", "QuantizeLinear")))
    assert {name for name in more if name.startswith("quantised")} == {"quantised", "quantised-bf16"}


def test_it_is_built_from_its_own_file_and_known_by_its_own_contents() -> None:
    def subject(**others: ModelInfo) -> ModelSubject:
        return ModelSubject(model(), DATA, "agreement", MACHINE, others=others)

    one = subject(small=model("small"))
    of = Candidate(variant="small", runtime="onnxruntime")
    recipe = one.recipe(of)
    assert recipe.build is not None
    assert recipe.build.argument["source"] == "/models/small.onnx"
    assert one.key == subject().key, "what was measured of the model itself stays known"
    changed = subject(small=msgspec.structs.replace(model("small"), sha256="other"))
    assert changed.versions(of)["build"] != one.versions(of)["build"]
    given = Candidate(variant="original", runtime="onnxruntime")
    assert changed.versions(given) == one.versions(given)


def test_what_a_bundle_holds_is_opened_without_the_model_that_it_was_made_of() -> None:
    opening = ModelSubject(model(), DATA, "agreement", MACHINE).opening(Candidate(variant="small", runtime="openvino"))
    assert opening.function == "steelyard.subjects.model_child:open_runner"


def test_a_smaller_model_is_expected_to_be_faster_and_less_right() -> None:
    subject = ModelSubject(model(), DATA, "agreement", MACHINE, others={"small": model("small", size=100)})
    own, small = (subject.outlook(Candidate(variant=v, runtime="onnxruntime")) for v in ("original", "small"))
    assert small.speed == pytest.approx(2 * own.speed)
    assert small.keeps < own.keeps


@pytest.mark.parametrize("name", ["Small", "a.b", "", "../x", "a+b"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a variant"):
        check_names({name: model()})


@pytest.mark.parametrize("name", ["original", "int8-static", "small-int8-nncf"])
def test_a_name_is_not_one_that_a_variant_has(name: str) -> None:
    with pytest.raises(UsageError, match="is taken"):
        check_names({name: model()})


def test_a_variant_is_asked_as_the_model_is() -> None:
    check_interface("small", model("small"), model())
    renamed = TensorInfo(name="picture", dtype="float32", shape=(None, 3))
    with pytest.raises(ModelError, match=r"'small' takes picture float32\[\?, 3\], the model takes x float32\[\?, 3\]"):
        check_interface("small", msgspec.structs.replace(model(), inputs=(renamed,)), model())
    fixed = TensorInfo(name="x", dtype="float32", shape=(1, 3))
    with pytest.raises(ModelError, match=r"takes x float32\[1, 3\]"):
        check_interface("small", msgspec.structs.replace(model(), inputs=(fixed,)), model())


def test_a_variant_answers_as_the_model_does() -> None:
    fewer = TensorInfo(name="y", dtype="float32", shape=(None, 9))
    with pytest.raises(ModelError, match=r"gives y float32\[\?, 9\], the model gives y float32\[\?, 10\]"):
        check_interface("small", msgspec.structs.replace(model(), outputs=(fewer,)), model())
    unknown = TensorInfo(name="other", dtype="float32", shape=(None, None))
    check_interface("small", msgspec.structs.replace(model(), outputs=(unknown,)), model())


def test_it_travels_to_a_node_with_the_model(tmp_path: Path) -> None:
    infos = [inspect({"path": str(reader(tmp_path / f"{name}.onnx"))}) for name in ("m", "small")]
    parcel, contents = pack(infos[0], msgspec.structs.replace(DATA, folder=str(tmp_path)), {"small": infos[1]})
    assert parcel.variants == {"small": "variants/small/small.onnx"}
    assert contents[parcel.files["variants/small/small.onnx"]].name in ("small.onnx", "m.onnx")
