"""For how long windows must agree on fewer: longer where fewer were too few lately."""

from datetime import timedelta

import pytest

from ferryman.api.scaling import ScalingSpec
from ferryman.core.scaling.stabilization import HOLD, hold
from tests.factories import NOW
from tests.unit.core.scaling.views import SPEC, change, standing

REGRETTED = (change(2, 3, 100), change(3, 2, 400))


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        pytest.param((), 300, id="as stated"),
        pytest.param((change(2, 3, 100),), 300, id="more alone regrets nothing"),
        pytest.param(REGRETTED, 600, id="twice as long after fewer were too few"),
        pytest.param((*REGRETTED, change(2, 3, 900), change(3, 2, 1_200)), 1_200, id="and again"),
        pytest.param((change(2, 3, 100), change(3, 2, 2_000)), 300, id="they were enough for long"),
        pytest.param((change(2, 3, 3_700), change(3, 2, 3_900)), 300, id="it is forgotten"),
        pytest.param(
            (change(2, 3, 100), change(3, 2, 400, "WithinBounds")), 300, id="an owner's word"
        ),
        pytest.param(
            tuple(change(*n, 100 * i) for i, n in enumerate([(1, 2), (2, 1)] * 5)),
            3_600,
            id="no longer than an hour",
        ),
    ],
)
def test_the_wait(changes, seconds):
    assert hold(SPEC, standing(3, *changes), NOW) == timedelta(seconds=seconds)


def test_the_wait_of_a_model_without_a_decision_or_without_scaling():
    assert hold(ScalingSpec(max_replicas=2), None, NOW) == HOLD
    assert hold(None, None, NOW) == HOLD
