import argparse

import pytest

from ferryman.cli.tuning.options import OptionsError
from ferryman.cli.tuning.stated import notes, stated

POLICY = "default_timeout_microseconds: 500000 max_queue_size: 64"
WARM = 'model_warmup { name: "w" batch_size: 8 }'


def config(policy="", sizes="8", more=""):
    batcher = f"preferred_batch_size: [{sizes}] default_queue_policy {{ {policy} }}"
    return f"max_batch_size: 8 dynamic_batching {{ {batcher} }} {more}"


def asked(on_overload=None):
    return argparse.Namespace(on_overload=on_overload)


def test_a_queue_policy_stays_unless_another_is_asked_for():
    assert "default_queue_policy" in stated(asked(), config(POLICY))["dynamic_batching"]
    for way in ("Queue", "Reject"):
        assert "default_queue_policy" not in stated(asked(way), config(POLICY))["dynamic_batching"]


def test_a_policy_that_delays_is_not_exchanged_because_it_could_not_be_brought_back():
    delays = config("timeout_action: DELAY default_timeout_microseconds: 5")
    with pytest.raises(OptionsError, match="timeout_action DELAY, which would be lost"):
        stated(asked("Reject"), delays)
    assert stated(asked(), delays)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(config(), [], id="nothing was stated"),
        pytest.param(
            config(POLICY, "4, 8", WARM),
            [
                "requests are rejected after 500000 µs",
                "no more than 64 requests wait",
                "preferred_batch_size 4, 8",
                "max_batch_size is at least 8, the largest batch of model_warmup",
            ],
            id="everything was",
        ),
    ],
)
def test_what_stays_is_told(found, words):
    assert notes(stated(asked(), found)) == tuple(f"stays as the model has it: {w}" for w in words)
