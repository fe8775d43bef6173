import pytest

from ferryman.core.benchmark.shortage import ResourceShortage, shortages

WORDS = (
    "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 1 Insufficient cpu, 1 node(s) didn't "
    "match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 No preemption "
    "victims found for incoming pod."
)


def pod(message=WORDS, *, reason="Unschedulable", **metadata):
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    ready = {"type": "Ready", "status": "False", "message": "Insufficient sleep"}
    return {"metadata": metadata, "status": {"conditions": [ready, condition]}}


@pytest.mark.parametrize(
    ("waiting", "resources"),
    [
        pytest.param(pod(), {"nvidia.com/gpu", "cpu"}, id="a device and CPU"),
        pytest.param(pod("0/1 nodes are available: 1 Insufficient memory."), {"memory"}, id="end"),
        pytest.param(pod("1 node(s) had untolerated taint"), None, id="something else"),
        pytest.param(pod(reason="SchedulingGated"), None, id="it is held back"),
        pytest.param(pod(deletionTimestamp="2026-11-21T13:00:00Z"), None, id="it goes away"),
        pytest.param({"metadata": {}, "status": {}}, None, id="nothing is known"),
        pytest.param({"metadata": {}, "status": {"conditions": None}}, None, id="no conditions"),
    ],
)
def test_what_a_pod_lacks_is_read_from_the_schedulers_words(waiting, resources):
    expected = () if resources is None else (ResourceShortage("gpu-a", frozenset(resources)),)
    assert shortages("gpu-a", [waiting]) == expected
