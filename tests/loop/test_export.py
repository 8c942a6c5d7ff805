"""What an export writes, held against what Docker, Kubernetes and KServe publish."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from made_up import REFERENCE, candidate, evidence, service, weighing
from steelyard.bundle import write_bundle
from steelyard.decision import decide
from steelyard.errors import BundleError, InputError, UsageError
from steelyard.loop.export import FILES, GRACE_S, LONGEST_SERVICE, Target, export, service_name
from steelyard.protocol.server import DRAIN_S
from steelyard.records.machine import Price
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Latency, Requirements

FAST = candidate("int8")

# The names of fields, from https://kserve.github.io/website/docs/reference/crd-api and Kubernetes' API of pods.
PREDICTOR = {
    *("minReplicas", "maxReplicas", "scaleTarget", "scaleMetric"),
    *("terminationGracePeriodSeconds", "automountServiceAccountToken", "securityContext", "containers", "volumes"),
}
CONTAINER = {
    *("name", "image", "ports", "env", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "resources"),
    *("securityContext", "volumeMounts"),
}
POD_SECURITY = {"runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile"}
CONTAINER_SECURITY = {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}
PROBE = {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}


@pytest.fixture
def plan() -> Plan:
    found = {
        REFERENCE.id: evidence(REFERENCE, service(4, 1, [1])),
        FAST.id: evidence(FAST, service(0.5, 0.5), worse=0.004, better=0.002),
    }
    search = SearchFigures(seconds=1, measured=6, resumed=0, ruled_out=0, complete=True)
    asked = Requirements(
        latency=Latency(percentile=95, bound_ms=20),
        quality_drop=0.01,
        rate_per_s=5000,
        scenario="server",
        headroom=0.25,
        spare=1,
    )
    return decide(weighing([REFERENCE, FAST]), found, asked, Price(), search=search, version="0", created="now")


def bundle_of(plan: Plan, place: Path) -> Path:
    built = place / "built"
    built.mkdir(exist_ok=True)
    (built / "model.onnx").write_bytes(b"a model")
    return write_bundle(plan, "<html>", {"int8": built}, place / "plan").folder


@pytest.fixture
def bundle(plan: Plan, tmp_path: Path) -> Path:
    return bundle_of(plan, tmp_path)


def service_of(out: Path) -> Any:
    return yaml.safe_load((out / "inferenceservice.yaml").read_text())


def keywords(program: str) -> dict[str, Any]:
    """What the exported program tells Ray of its deployment."""
    [call] = [
        node
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "serve.deployment"
    ]
    return {each.arg: eval(ast.unparse(each.value)) for each in call.keywords if each.arg}  # noqa: S307


@pytest.mark.parametrize("target", FILES)
def test_the_folder_holds_what_is_told_and_nothing_that_the_plan_does_not_name(
    target: Target, bundle: Path, tmp_path: Path
) -> None:
    (bundle / "secret.txt").write_text("x")
    (bundle / "artefacts" / "int8" / "more").symlink_to("/etc/passwd")
    told = export(bundle, target, tmp_path / "out", name="digits", image="registry.example.org/digits:1")
    there = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    ours = {"bundle/plan.json", "bundle/artefacts/int8/model.onnx"}
    assert there - {"packages/put-wheels-here"} == {*told.files, *ours}
    assert "None" not in "".join((tmp_path / "out" / file).read_text() for file in told.files)
    assert re.search(r"^onnxruntime==[\d.]+$", (tmp_path / "out" / "constraints.txt").read_text(), re.MULTILINE)


def test_the_image_runs_as_nobody_and_installs_the_engines_of_here(bundle: Path, tmp_path: Path) -> None:
    export(bundle, "docker", tmp_path / "out", name="digits")
    steps = (tmp_path / "out" / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    by_word = {line.partition(" ")[0]: line.partition(" ")[2] for line in steps if line[:1].isalpha()}
    assert int(by_word["USER"]) > 1000
    assert "--constraint /packages/constraints.txt" in by_word["RUN"]
    assert by_word["EXPOSE"] == "8000 8001"
    check = json.loads(by_word["HEALTHCHECK"].partition("CMD ")[2])
    assert "/v2/health/ready" in check[-1]
    assert json.loads(by_word["ENTRYPOINT"])[:3] == ["steelyard", "serve", "digits=/bundle"]
    assert f"--stop-timeout {GRACE_S}" in (tmp_path / "out" / "README.md").read_text()


def test_the_service_has_the_fields_that_kserve_publishes(bundle: Path, plan: Plan, tmp_path: Path) -> None:
    export(bundle, "kserve", tmp_path / "out", name="My_Digits.v2", image="registry.example.org/digits:1")
    told = service_of(tmp_path / "out")
    assert (told["apiVersion"], told["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert told["metadata"]["name"] == "my-digits-v2"
    predictor = told["spec"]["predictor"]
    [container] = predictor["containers"]
    assert set(predictor) == PREDICTOR
    assert set(container) == CONTAINER
    assert set(predictor["securityContext"]) == POD_SECURITY
    assert set(container["securityContext"]) == CONTAINER_SECURITY
    assert all(set(container[f"{which}Probe"]) <= PROBE for which in ("startup", "readiness", "liveness"))
    assert container["name"] == "kserve-container"
    env = {each["name"]: each for each in container["env"]}
    assert env["PROTOCOL"]["value"] == "v2"
    assert env["STEELYARD_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "my-digits-v2-token", "key": "token"}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert predictor["minReplicas"] == plan.replicas
    assert predictor["maxReplicas"] > predictor["minReplicas"]
    assert predictor["scaleTarget"] == 72, "nine tenths of what a headroom of a quarter leaves in use"
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert predictor["terminationGracePeriodSeconds"] >= DRAIN_S + pause
    volumes = {each["name"] for each in predictor["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == volumes


def test_ray_is_told_what_the_plan_knows(bundle: Path, plan: Plan, tmp_path: Path) -> None:
    export(bundle, "ray-serve", tmp_path / "out", name="digits")
    told = keywords((tmp_path / "out" / "app.py").read_text())
    chosen = plan.chosen_figures
    assert chosen is not None
    assert told["ray_actor_options"]["num_cpus"] == chosen.candidate.threads * chosen.candidate.workers
    assert told["ray_actor_options"]["memory"] >= chosen.memory_mb * 10**6
    scaling = told["autoscaling_config"]
    assert scaling["min_replicas"] == plan.replicas
    assert scaling["max_replicas"] > scaling["min_replicas"]
    at_work = chosen.latency.rate_per_s * chosen.latency.p50 / 1000
    assert 0.5 * at_work < scaling["target_ongoing_requests"] < 3 * max(1.0, at_work)
    most = told["max_ongoing_requests"]
    assert most >= max(chosen.capacity_per_replica * 0.02, 2 * chosen.candidate.workers * chosen.candidate.max_batch)
    assert most > scaling["target_ongoing_requests"]
    assert told["graceful_shutdown_timeout_s"] > DRAIN_S
    config = yaml.safe_load((tmp_path / "out" / "serve.yaml").read_text())
    [application] = config["applications"]
    assert application == {"name": "digits", "route_prefix": "/", "import_path": "app:application"}
    assert config["http_options"] == {"host": "127.0.0.1", "port": 8000}


def test_ray_reads_the_file_as_its_own(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.serve")
    from ray.serve.schema import ServeDeploySchema

    export(bundle, "ray-serve", tmp_path / "out", name="True")  # a name that YAML would take for something else
    config = yaml.safe_load((tmp_path / "out" / "serve.yaml").read_text())
    read = ServeDeploySchema.model_validate(config)
    assert [application.name for application in read.applications] == ["true"]


@pytest.mark.parametrize("target", FILES)
def test_what_a_plan_tells_begins_no_line_of_its_own(target: Target, plan: Plan, tmp_path: Path) -> None:
    hostile = "fine\nRUN evil\n\n    evil: true\n"
    bundle = bundle_of(msgspec.structs.replace(plan, summary=hostile), tmp_path)
    export(bundle, target, tmp_path / "out", name="digits")
    for file in FILES[target]:
        lines = (tmp_path / "out" / file).read_text().splitlines()
        assert not [line for line in lines if line.strip().startswith(("RUN evil", "evil"))], file


@pytest.mark.parametrize("image", ["two words", 'a"b', "a\nUSER root", "-x", "", "x" * 300])
def test_what_is_no_name_of_an_image(image: str, bundle: Path, tmp_path: Path) -> None:
    if not image:  # the model's own
        export(bundle, "docker", tmp_path / "out", name="digits")
        assert "--tag digits:latest" in (tmp_path / "out" / "README.md").read_text()
        return
    with pytest.raises(UsageError, match="is no name of an image"):
        export(bundle, "docker", tmp_path / "out", name="digits", image=image)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported(bundle: Path, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no name for a model"):
        export(bundle, "docker", tmp_path / "out", name="../digits")
    with pytest.raises(UsageError, match="is not an empty folder"):
        export(bundle, "docker", bundle)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        export(bundle, "docker", tmp_path / "file" / "out")
    without = bundle_of(msgspec.structs.replace(plan, chosen=None), tmp_path)
    with pytest.raises(BundleError, match="without a chosen candidate"):
        export(without, "docker", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits", "digits"),
        ("MNIST_cnn.v2", "mnist-cnn-v2"),
        ("2nd", "model-2nd"),
        ("_a__b_", "a-b"),
        ("___", "model"),
        ("x" * 39 + "-y", "x" * 39),
    ],
)
def test_the_name_of_a_service(name: str, expected: str) -> None:
    assert service_name(name) == expected
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", service_name(name))
    assert len(service_name(name)) <= LONGEST_SERVICE
