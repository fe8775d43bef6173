import pytest

from ferryman.core.importing.kserve import service as kserve
from tests.unit.core.importing.sources import asked, left, service

ARCH = {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}


def imported(model=None, **predictor):
    found = kserve.imported(service(model, **predictor), asked())
    assert found.refusal == ""
    return found.manifest["spec"], left(found).keys()


def affinity(*terms):
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def test_where_pods_may_go_stays():
    tolerations = [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5},
    ]
    spec, paths = imported(
        nodeSelector={"zone": "a"},
        tolerations=tolerations,
        affinity=affinity({"matchExpressions": [ARCH]}),
    )

    assert spec["placement"] == {
        "nodeSelector": {"zone": "a"},
        "nodeAffinity": [ARCH],
        "tolerations": tolerations,
    }
    assert paths == set()


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"operator": "Equal", "value": "x"},
        {"key": "a", "operator": "Exists", "value": "x"},
        {"key": "a", "tolerationSeconds": 5},
        {"key": "a", "effect": "Never"},
        {"key": "a", "extra": 1},
        "a",
    ],
)
def test_a_toleration_that_the_api_server_would_refuse_is_left_out(entry):
    spec, paths = imported(tolerations=[entry, {"operator": "Exists"}])

    assert spec["placement"] == {"tolerations": [{"operator": "Exists"}]}
    assert paths == {"spec.predictor.tolerations[0]"}


@pytest.mark.parametrize(
    ("entry", "stays"),
    [
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "a", "operator": "Exists", "values": ["b"]}, False),
        ({"key": "a", "operator": "In"}, False),
        ({"key": "a", "operator": "Gt", "values": ["5"]}, True),
        ({"key": "a", "operator": "Gt", "values": ["5", "6"]}, False),
        ({"key": "a", "operator": "Lt", "values": ["five"]}, False),
        ({"key": "a", "operator": "Lt", "values": []}, False),
    ],
)
def test_requirements_of_nodes(entry, stays):
    spec, paths = imported(affinity=affinity({"matchExpressions": [entry]}))

    assert ("placement" in spec) is stays
    assert bool(paths) is not stays


@pytest.mark.parametrize(
    "stated",
    [
        affinity(),
        affinity({"matchExpressions": [ARCH]}, {"matchExpressions": [ARCH]}),
        affinity({"matchFields": [ARCH]}),
        {"podAntiAffinity": {}},
        {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        {"nodeAffinity": []},
        "none",
    ],
)
def test_other_affinities_are_left_out(stated):
    spec, paths = imported(affinity=stated)

    assert "placement" not in spec
    assert len(paths) == 1


def test_resources_stay_but_devices_are_requested_by_ferryman():
    resources = {
        "requests": {"cpu": "500m", "memory": "2Gi", "hugepages-2Mi": 1},
        "limits": {"cpu": 2, "nvidia.com/gpu": 1, "memory": "-1", "storage": 1, "x" * 40: True},
        "claims": [],
    }
    spec, paths = imported({"resources": resources})

    assert spec["resources"] == {"requests": resources["requests"], "limits": {"cpu": 2}}
    begin = "spec.predictor.model.resources"
    assert paths == {
        f"{begin}.claims",
        f"{begin}.limits.nvidia.com/gpu",
        f"{begin}.limits.memory",
        f"{begin}.limits.storage",
        f"{begin}.limits.{'x' * 40}",
    }


@pytest.mark.parametrize("value", [-1, 2**63, True, 1.5, "a", "1\n", "9" * 40])
def test_what_is_no_quantity_is_left_out(value):
    spec, paths = imported({"resources": {"limits": {"cpu": value}}})

    assert "resources" not in spec
    assert len(paths) == 1


def test_what_pods_have_stays_as_far_as_it_may():
    spec, paths = imported(
        {
            "env": [
                {"name": "A", "value": "1"},
                {"name": "A", "value": "2"},
                {"name": "B", "valueFrom": {}},
                {"name": "C", "value": "$(A)"},
                {"name": "FERRYMAN_X", "value": "1"},
                {"name": "D", "value": "a$$b"},
            ]
        },
        labels={"team": "vision", "app.kubernetes.io/name": "x", 5: "y"},
        annotations={"sidecar.istio.io/inject": "false"},
        serviceAccountName="models",
        imagePullSecrets=[{"name": "registry"}],
        priorityClassName="High Priority",
        hostUsers=False,
        securityContext={
            "runAsUser": 1000,
            "fsGroup": 2000,
            "fsGroupChangePolicy": "Always",
            "runAsNonRoot": True,
            "sysctls": [],
        },
    )

    assert spec["pod"] == {
        "labels": {"team": "vision"},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "serviceAccountName": "models",
        "imagePullSecrets": [{"name": "registry"}],
        "hostUsers": False,
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "fsGroupChangePolicy": "Always"},
        "env": [{"name": "A", "value": "1"}],
    }
    assert paths == {
        *(f"spec.predictor.model.env[{index}]" for index in (1, 2, 3, 4, 5)),
        "spec.predictor.labels.app.kubernetes.io/name",
        "spec.predictor.labels.5",
        "spec.predictor.priorityClassName",
        "spec.predictor.securityContext.sysctls",
    }


@pytest.mark.parametrize("user", [{"runAsUser": 0}, {"fsGroupChangePolicy": "Always"}])
def test_nobody_runs_as_root(user):
    spec, paths = imported(securityContext=user)

    assert "pod" not in spec
    assert paths == {"spec.predictor.securityContext"}


def test_more_than_the_api_takes_is_left_out():
    spec, paths = imported(nodeSelector={f"k{n}": "v" for n in range(17)}, labels=["a"])

    assert len(spec["placement"]["nodeSelector"]) == 16
    assert paths == {"spec.predictor.nodeSelector.k16", "spec.predictor.labels"}
