"""Requests made from our own OpenAPI document, good and bad: what comes back is as the document says."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from schemathesis.generation import GenerationMode

from serving import FakeRepository
from serving_here import PATIENCE_S, serving_here
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.protocol.openapi import document

AS_TOLD = [content_type_conformance, response_schema_conformance, status_code_conformance]
SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS: dict[str, Any] = {found.label: found for found in (each.ok() for each in SCHEMA.get_all_operations())}  # type: ignore[union-attr]
MODELS = {"double": ("x", "FP32", [1, 4]), "exact": ("pixels", "UINT8", [2, 3])}
"""Of each model its input."""
FEW = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,  # some of what it may draw takes minutes to make
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def models() -> FakeRepository:
    return FakeRepository()


@pytest.fixture(scope="module")
def url(models: FakeRepository) -> Iterator[str]:
    with serving_here(Http(models, Guards())) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def test_every_path_of_the_document_is_asked() -> None:
    told = {f"{method.upper()} {path}" for path, methods in document()["paths"].items() for method in methods}
    assert set(OPERATIONS) == told


@pytest.mark.parametrize("label", OPERATIONS)
def test_replies_are_as_the_document_says(
    label: str, url: str, session: requests.Session, models: FakeRepository
) -> None:
    operation = OPERATIONS[label]
    statuses: Counter[int] = Counter()

    @FEW
    @given(
        case=st.sampled_from([GenerationMode.POSITIVE, *GenerationMode]).flatmap(operation.as_strategy),
        model=st.sampled_from([*MODELS, *MODELS, *MODELS, ""]),
        version=st.sampled_from(["1", "1", "1", ""]),
        names_its_inputs=st.sampled_from([True, True, False]),
    )
    def ask(case: Any, model: str, version: str, names_its_inputs: bool) -> None:
        """Most of the models, versions and inputs are ones that there are: otherwise little else would be reached."""
        models.unloaded.clear()
        for name, value in (("model", model), ("version", version)):
            if value and name in case.path_parameters:
                case.path_parameters[name] = value
        if model and names_its_inputs and isinstance(case.body, dict):
            name_tensors(case.body, model)
        reply = case.call(base_url=url, session=session, timeout=PATIENCE_S)
        case.validate_response(reply, checks=AS_TOLD)
        statuses[reply.status_code] += 1
        json_bytes = reply.headers.get("inference-header-content-length", [len(reply.content)])[0]
        told = json.loads(reply.content[: int(json_bytes)])  # behind it come binary tensors, where they were asked for
        assert reply.status_code in (200, 400, 404, 413, 415, 503), reply.text
        if reply.status_code != 200:
            assert set(told) >= {"error"}
            assert isinstance(told["error"], str)
            assert told["error"]

    ask()
    assert statuses[200] > 0, statuses


def name_tensors(body: dict[str, Any], model: str) -> None:
    """In place of the inputs comes what the model takes, and all its outputs are asked for; the rest stays as it is."""
    if isinstance(body.get("inputs"), list):
        name, datatype, shape = MODELS[model]
        data = list(range(math.prod(shape)))
        body["inputs"] = [{"name": name, "datatype": datatype, "shape": shape, "data": data}]
        body.pop("outputs", None)
