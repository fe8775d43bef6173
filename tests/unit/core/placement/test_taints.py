import pytest

from ferryman.api.inference_model import PlacementSpec
from ferryman.api.pods.scheduling import NodeRequirement, Toleration
from ferryman.core.placement.nodes.taints import tolerations, unmet, untolerated
from tests.factories import runtime_processor

TAINT = "gpu=a100:NoSchedule"


@pytest.mark.parametrize(
    ("fields", "tolerated"),
    [
        pytest.param({"key": "gpu", "value": "a100"}, True, id="key and value"),
        pytest.param({"key": "gpu", "value": "l4"}, False, id="another value"),
        pytest.param({"key": "gpu"}, False, id="no value"),
        pytest.param({"key": "gp", "value": "a100"}, False, id="another key"),
        pytest.param({"key": "gpu", "operator": "Exists"}, True, id="any value"),
        pytest.param({"key": "other", "operator": "Exists"}, False, id="any value of another key"),
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"operator": "Exists", "effect": "NoSchedule"}, True, id="its effect"),
        pytest.param({"operator": "Exists", "effect": "NoExecute"}, False, id="another effect"),
    ],
)
def test_a_taint_is_tolerated(fields, tolerated):
    assert untolerated([TAINT], [Toleration(**fields)]) == ([] if tolerated else [TAINT])


@pytest.mark.parametrize("taint", ["gpu:NoSchedule", "gpu=:NoSchedule"])
def test_a_taint_without_a_value_has_the_empty_one(taint):
    assert untolerated([taint], [Toleration(key="gpu")]) == []
    assert untolerated([taint], [Toleration(key="gpu", value="x")]) == [taint]


def test_each_taint_must_be_tolerated_by_something():
    taints = ["a=:NoSchedule", "b=:NoExecute", "c=:NoSchedule"]
    told = [Toleration(key=key, operator="Exists") for key in "ac"]
    assert untolerated(taints, told) == ["b=:NoExecute"]
    assert untolerated(taints, []) == taints


def test_the_runtime_tolerates_for_the_model():
    own, common = Toleration(key="team"), Toleration(key="nvidia.com/gpu", operator="Exists")
    asked = PlacementSpec(tolerations=(own,))
    assert tolerations(asked, runtime_processor(tolerations=(common,))) == (common, own)


@pytest.mark.parametrize(
    ("operator", "values", "holds"),
    [
        pytest.param("In", ("a", "b"), {"a": True, "c": False, None: False}, id="In"),
        pytest.param("NotIn", ("a", "b"), {"a": False, "c": True, None: True}, id="NotIn"),
        pytest.param("Exists", (), {"a": True, "": True, None: False}, id="Exists"),
        pytest.param("DoesNotExist", (), {"a": False, "": False, None: True}, id="DoesNotExist"),
        pytest.param(
            "Gt", ("7",), {"8": True, "7": False, "-9": False, "x": False, None: False}, id="Gt"
        ),
        pytest.param(
            "Lt", ("7",), {"6": True, "7": False, "-9": True, "6.5": False, None: False}, id="Lt"
        ),
    ],
)
def test_a_requirement(operator, values, holds):
    asked = PlacementSpec(
        node_affinity=(NodeRequirement(key="zone", operator=operator, values=values),)
    )
    for value, expected in holds.items():
        assert (unmet(asked, {} if value is None else {"zone": value}) == []) is expected


def test_all_that_is_not_met_is_told():
    asked = PlacementSpec(
        node_selector={"disk": "ssd", "zone": "a"},
        node_affinity=(
            NodeRequirement(key="spot", operator="DoesNotExist"),
            NodeRequirement(key="size", operator="In", values=("l", "xl")),
        ),
    )
    assert unmet(asked, {"zone": "a", "spot": ""}) == [
        "disk=ssd",
        "spot DoesNotExist",
        "size In (l, xl)",
    ]
    assert unmet(PlacementSpec(), {}) == []
