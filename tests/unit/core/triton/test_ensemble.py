"""Ensembles, and the queues of their members."""

import pytest

from ferryman.api.pipelines.wires import Source
from ferryman.core.triton.ensemble import (
    EnsembleMember,
    EnsembleTensor,
    ensemble_config,
    with_timeout,
)

REJECT = {"timeout_action": "REJECT", "default_timeout_microseconds": 5000}


def test_an_output_that_is_read_too_has_one_name():
    members = [
        EnsembleMember("a", {"x": Source(None, "in")}),
        EnsembleMember("b", {"x": Source("a", "y"), "z": Source("a", "y")}),
    ]
    outputs = {
        EnsembleTensor("half", "FP32", (-1, 2)): Source("a", "y"),
        EnsembleTensor("whole", "FP32", (-1, 2)): Source("b", "y"),
    }
    config = ensemble_config("e", [EnsembleTensor("in", "FP32", (-1, 2))], members, outputs)

    first, second = config["ensemble_scheduling"]["step"]
    assert first["output_map"] == {"y": "half"}
    assert second["input_map"] == {"x": "half", "z": "half"}


def test_two_outputs_cannot_be_one_tensor():
    outputs = {EnsembleTensor(name, "FP32", (1,)): Source("a", "y") for name in "pq"}
    with pytest.raises(ValueError, match="are the same tensor"):
        ensemble_config("e", [], [], outputs)


@pytest.mark.parametrize(
    ("config", "timeout_us", "forked", "after"),
    [
        pytest.param(
            {"dynamic_batching": {"max_queue_delay_microseconds": 7}}, 5000, False,
            {"max_queue_delay_microseconds": 7, "default_queue_policy": REJECT},
            id="a timeout beside a delay",
        ),
        pytest.param(
            {}, 5000, True, {"default_queue_policy": REJECT}, id="a step that does not batch"
        ),
        pytest.param({"dynamic_batching": {}}, 0, True, {}, id="no timeout"),
        pytest.param({}, 0, True, None, id="no timeout, and no queue of its own"),
        pytest.param(
            {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 9}}}, 5000, True,
            {"default_queue_policy": REJECT},
            id="no bound on what waits beside another branch",
        ),
        pytest.param(
            {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 9}}}, 0, True, {},
            id="not even without a timeout",
        ),
        pytest.param(
            {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 9}}}, 5000, False,
            {"default_queue_policy": {**REJECT, "max_queue_size": 9}},
            id="a bound on what waits in a chain",
        ),
        pytest.param(
            {"dynamic_batching": {"default_queue_policy": {"timeout_action": "DELAY"}}}, 5000,
            False, {"default_queue_policy": REJECT},
            id="what is too late is not kept",
        ),
        pytest.param(
            {"sequence_batching": {}}, 5000, True, None, id="sequences have a batcher of their own"
        ),
    ],
)  # fmt: skip
def test_a_queue_rejects_what_waited_longer_than_its_share(config, timeout_us, forked, after):
    found = with_timeout({"name": "m", **config}, timeout_us, forked=forked)
    assert found.get("dynamic_batching") == after
    assert found["name"] == "m"
