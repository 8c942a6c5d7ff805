"""The messages of gRPC: made from their description, apart from those of other makers, with the right numbers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import descriptor_pool

from steelyard.protocol import health_pb2
from steelyard.protocol import inference_pb2 as pb

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_proto.py"


def script() -> ModuleType:
    told = importlib.util.spec_from_file_location("make_proto", SCRIPT)
    assert told is not None
    assert told.loader is not None
    module = importlib.util.module_from_spec(told)
    told.loader.exec_module(module)
    return module


def test_the_modules_are_current() -> None:
    make_proto = script()
    try:
        found = version("grpcio-tools")
    except PackageNotFoundError:
        found = "none"
    if found != make_proto.GENERATOR:
        pytest.skip(f"grpcio-tools is {found}: only {make_proto.GENERATOR} writes what this test compares")
    for name, text in make_proto.generated().items():
        assert (make_proto.PROTOCOL / name).read_text(encoding="utf-8") == text


def test_the_script_says_what_it_needs() -> None:
    try:
        if version("grpcio-tools") == script().GENERATOR:
            pytest.skip("it has what it needs")
    except PackageNotFoundError:
        pass
    ran = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "expected grpcio-tools" in ran.stderr


@pytest.mark.parametrize("name", ["health", "inference"])
def test_a_module_lists_all_that_its_description_does(name: str) -> None:
    """Whoever has no generator still notices a description that was changed alone."""
    description = (script().PROTOCOL / f"{name}.proto").read_text()
    lines = [line.partition("//")[0].split() for line in description.splitlines()]
    messages = [words[1] for words in lines if words[:1] == ["message"]]
    described = {"health": health_pb2, "inference": pb}[name].DESCRIPTOR
    found = [message for top in described.message_types_by_name.values() for message in (top, *top.nested_types)]
    assert sorted(messages) == sorted(each.name for each in found if not each.GetOptions().map_entry)
    fields = [(words[-3], int(words[-1].rstrip(";"))) for words in lines if len(words) > 3 and words[-2] == "="]
    made = [(field.name, field.number) for each in found if not each.GetOptions().map_entry for field in each.fields]
    assert sorted(fields) == sorted(made)


def test_messages_do_not_collide_with_those_of_other_makers() -> None:
    assert pb.ModelInferRequest.DESCRIPTOR.full_name == "inference.ModelInferRequest"
    for name in ("inference.ModelInferRequest", "grpc.health.v1.HealthCheckRequest"):
        with pytest.raises(KeyError):
            descriptor_pool.Default().FindMessageTypeByName(name)


def test_fields_have_the_numbers_of_the_protocol() -> None:
    """A request byte by byte: key (number << 3 | kind), length, content."""
    raw = b"\x0a\x01m\x12\x011\x1a\x01i\x2a\x0b\x0a\x01x\x12\x04FP32\x1a\x00\x32\x03\x0a\x01y\x3a\x04abcd"
    told = pb.ModelInferRequest.FromString(raw)
    assert (told.model_name, told.model_version, told.id) == ("m", "1", "i")
    assert (told.inputs[0].name, told.inputs[0].datatype, told.outputs[0].name) == ("x", "FP32", "y")
    assert told.raw_input_contents == [b"abcd"]
    response = pb.ModelInferResponse(model_name="m", raw_output_contents=[b"abcd"])
    assert response.SerializeToString() == b"\x0a\x01m\x32\x04abcd"
