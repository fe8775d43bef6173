"""Argo CD's health checks, in the Lua that Argo CD runs them in."""

import functools
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from lupa import lua51
from pydantic import ValidationError

from ferryman.api.inference_model import InferenceModel
from ferryman.api.names import GROUP
from ferryman.core.status import unreadable
from hack.generate.crds import KINDS

PATCH = Path(__file__).parents[3] / "manifests/argocd/argocd-cm.yaml"
#: What Argo CD's sandbox does not have either.
WITHHELD = ("os", "io", "debug", "package", "require", "dofile", "loadfile", "python")
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@functools.cache
def scripts():
    return yaml.safe_load(PATCH.read_text(encoding="utf-8"))["data"]


def health(kind, body):
    """Run a kind's script on an object as Argo CD does, and return its status and message."""
    lua = lua51.LuaRuntime(register_eval=False)
    for name in WITHHELD:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(body, recursive=True)
    answer = lua.execute(scripts()[f"resource.customizations.health.{GROUP}_{kind}"])
    return answer["status"], answer["message"]


def condition(kind, status="True", reason="Why", message="words", generation=3):
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }


def model(*conditions, observed=3, generation=3):
    status = {"observedGeneration": observed, "conditions": list(conditions)}
    return {"metadata": {"name": "m", "generation": generation}, "status": status}


NOT_READY = condition("Ready", "False", "Deploying", "0 of 1 replicas are ready")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(
            {"metadata": {"generation": 1}}, "Progressing", "not seen", id="no status at all"
        ),
        pytest.param(
            {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}},
            "Progressing",
            "not seen",
            id="what the CRD fills in before the operator has looked",
        ),
        pytest.param(
            model(condition("Ready"), observed=2, generation=3),
            "Progressing",
            "not seen",
            id="ready, but of an earlier specification",
        ),
        pytest.param(
            model(condition("Ready", generation=2)),
            "Progressing",
            "has not said",
            id="the status is of this one, but its condition is older",
        ),
        pytest.param(model(), "Progressing", "has not said", id="no conditions yet"),
        pytest.param(
            model(condition("Ready", reason="Serving", message="1 replica serves")),
            "Healthy",
            "Serving: 1 replica serves",
            id="it serves",
        ),
        pytest.param(
            model(condition("Ready", reason="ScaledToZero")),
            "Healthy",
            "ScaledToZero",
            id="nothing was asked for",
        ),
        pytest.param(
            model(condition("Ready"), condition("NeedsCapacity", reason="NeedsCapacity")),
            "Healthy",
            "NeedsCapacity",
            id="it serves and says that more is needed",
        ),
        pytest.param(
            model(condition("Ready"), condition("ObjectivesMet", "False", "LatencyAboveTarget")),
            "Healthy",
            "Why",
            id="an objective that is missed is no fault of the installation",
        ),
        pytest.param(
            model(NOT_READY, condition("Reconciling")),
            "Progressing",
            "Deploying: 0 of 1",
            id="replicas are coming",
        ),
        pytest.param(
            model(NOT_READY, condition("Stalled", reason="InvalidConfig", message="correct it")),
            "Degraded",
            "InvalidConfig: correct it",
            id="a person must act",
        ),
        pytest.param(
            model(condition("Ready"), condition("Stalled", generation=2)),
            "Healthy",
            "Why",
            id="what was stalled under an earlier specification",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["InferenceModel", "InferencePipeline"])
def test_what_is_served_is_as_healthy_as_its_conditions_say(kind, body, status, words):
    found = health(kind, body)

    assert found[0] == status
    assert words in found[1]


def test_a_model_that_the_operator_cannot_read_is_degraded():
    broken = {"metadata": {"name": "m", "namespace": "default", "generation": 3}, "spec": {}}
    with pytest.raises(ValidationError) as refused:
        InferenceModel.model_validate(broken)
    broken["status"] = unreadable.status(broken, unreadable.words(refused.value), NOW)

    status, message = health("InferenceModel", broken)
    assert status == "Degraded"
    assert message.startswith("InvalidSpec: ")


GPU = {"class": "gpu", "unavailable": "XID 79: the GPU has fallen off the bus"}
FAILED = {"class": "cpu", "runtime": "triton", "error": "the time was up"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param({}, "Progressing", "not reported", id="a profile that is only just there"),
        pytest.param(
            {"status": {"nodeType": "cpu-8c", "processors": [{"class": "cpu"}]}},
            "Healthy",
            "cpu-8c",
            id="all is well",
        ),
        pytest.param(
            {"status": {"nodeType": "t", "processors": [{"class": "cpu"}, GPU]}},
            "Degraded",
            "gpu: XID 79",
            id="a processor that cannot be used",
        ),
        pytest.param(
            {"status": {"nodeType": "t", "benchmarks": [FAILED]}},
            "Degraded",
            "cpu under triton could not be measured: the time was up",
            id="a node type that could not be measured",
        ),
        pytest.param(
            {"status": {"nodeType": "t", "benchmarks": [{**FAILED, "points": [{}]}]}},
            "Healthy",
            "t",
            id="a renewal that failed: the earlier table stands",
        ),
    ],
)
def test_a_profiles_health_is_that_of_its_processors(body, status, words):
    found = health("NodeProfile", body)

    assert found[0] == status
    assert words in found[1]


def test_a_runtime_is_what_models_make_of_it():
    assert health("InferenceRuntime", {"metadata": {}, "spec": {}})[0] == "Healthy"


def test_every_kind_has_a_script():
    expected = {f"resource.customizations.health.{GROUP}_{kind.__name__}" for kind in KINDS}

    assert set(scripts()) == expected
