"""Replicas of a model are kept apart, and leave nodes that died."""

from dataclasses import replace

import pytest

from ferryman.api.pods.scheduling import Toleration
from ferryman.core import render
from ferryman.core.render import apart
from tests import factories
from tests.unit.core.test_render import pod_spec, serving

UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"
OURS = {UNREACHABLE: 0, NOT_READY: 5}


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        pytest.param((), OURS, id="by default"),
        pytest.param(
            (Toleration(key="nvidia.com/gpu", operator="Exists"),),
            OURS,
            id="beside what is tolerated otherwise",
        ),
        pytest.param(
            (Toleration(key=UNREACHABLE, operator="Exists", effect="NoSchedule"),),
            OURS,
            id="beside another effect of the same taint, which moves no pod",
        ),
        pytest.param(
            (
                Toleration(
                    key=UNREACHABLE, operator="Exists", effect="NoExecute", toleration_seconds=60
                ),
            ),
            {UNREACHABLE: 60, NOT_READY: 5},
            id="unless the owner says how long pods stay",
        ),
        pytest.param(
            (Toleration(key=NOT_READY, operator="Exists"),),
            {UNREACHABLE: 0},
            id="unless the owner has them stay for ever",
        ),
        pytest.param((Toleration(operator="Exists"),), {}, id="unless every taint is tolerated"),
    ],
)
def test_pods_leave_a_node_that_died_in_seconds(stated, expected):
    found = apart.tolerations(stated)
    stays = {
        each.key: each.toleration_seconds for each in found if each.toleration_seconds is not None
    }

    assert stays == expected
    assert found[: len(stated)] == stated


def test_serving_pods_state_both_tolerations_after_those_of_runtime_and_model():
    gpu = Toleration(key="nvidia.com/gpu", operator="Exists")
    spec = pod_spec(entry=factories.runtime_processor(tolerations=(gpu,)))
    said = [(t["key"], t.get("effect"), t.get("tolerationSeconds")) for t in spec["tolerations"]]

    assert said == [
        ("nvidia.com/gpu", None, None),
        (UNREACHABLE, "NoExecute", 0),
        (NOT_READY, "NoExecute", 5),
    ]


def test_replicas_of_one_rollout_prefer_nodes_without_another_of_them():
    spec, selected = pod_spec(), {"matchLabels": {"serving.ferryman.dev/model": "resnet50"}}
    [constraint] = spec["topologySpreadConstraints"]
    affinity = spec["affinity"]["podAntiAffinity"]
    [preference] = affinity["preferredDuringSchedulingIgnoredDuringExecution"]

    assert list(affinity) == ["preferredDuringSchedulingIgnoredDuringExecution"], "never required"
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    for stated in (constraint, preference["podAffinityTerm"]):
        assert stated["topologyKey"] == "kubernetes.io/hostname"
        assert stated["labelSelector"] == selected
        assert stated["matchLabelKeys"] == ["pod-template-hash"]


def test_over_several_node_types_replicas_prefer_a_type_without_another_and_then_a_node():
    given = replace(serving(replicas=2), further_node_types=("cpu-large", "cpu-old"))
    deployment = render.render(given, repr)[-1]
    spec = deployment["spec"]["template"]["spec"]
    affinity = spec["affinity"]
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = required["nodeSelectorTerms"]
    preferred = affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    keys = ["serving.ferryman.dev/node-type", "kubernetes.io/hostname"]

    assert term["matchExpressions"][0]["values"] == ["cpu-small", "cpu-large", "cpu-old"]
    assert [each["topologyKey"] for each in spec["topologySpreadConstraints"]] == keys
    assert [each["podAffinityTerm"]["topologyKey"] for each in preferred] == keys
