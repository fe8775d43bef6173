"""Conditions in the status of Kubernetes' own kinds."""

import pytest

from ferryman.core.manifests import condition

READY = {"type": "Ready", "status": "True", "message": "up"}
NO_NODE = {"type": "PodScheduled", "status": "False"}


@pytest.mark.parametrize(
    ("types", "status", "expected"),
    [
        pytest.param(("Ready",), "True", READY, id="true"),
        pytest.param(("Ready",), "False", None, id="another status"),
        pytest.param(("PodScheduled",), "False", NO_NODE, id="false"),
        pytest.param(("Failed", "Ready"), "True", READY, id="one of several types"),
        pytest.param(("Initialized",), "True", None, id="another type"),
    ],
)
def test_a_condition_is_found_by_type_and_status(types, status, expected):
    manifest = {"status": {"conditions": [NO_NODE, READY]}}
    assert condition(manifest, *types, status=status) == expected


@pytest.mark.parametrize(
    "manifest",
    [None, {}, {"status": None}, {"status": {}}, {"status": {"conditions": None}}],
    ids=str,
)
def test_without_conditions_there_is_none(manifest):
    assert condition(manifest, "Ready") is None
