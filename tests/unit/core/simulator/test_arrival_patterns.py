import pytest
from pydantic import ValidationError

from ferryman.core.simulator.arrival_patterns import Arrivals

MMPP = {
    "calmRatePerSecond": 10,
    "calmMeanSeconds": 30,
    "burstRatePerSecond": 110,
    "burstMeanSeconds": 10,
}
STEPS = [{"seconds": 9, "ratePerSecond": 7}, {"seconds": 5, "ratePerSecond": 5}]


def arrivals(**fields):
    return Arrivals.model_validate(fields, extra="forbid")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"poisson": {"ratePerSecond": 100}}, 100, id="poisson"),
        pytest.param({"mmpp": MMPP}, 35, id="mmpp: weighted by the time spent in each state"),
        pytest.param({"steps": STEPS}, 7, id="steps: the highest"),
        pytest.param({"trace": {"file": "gaps.txt"}}, 0, id="a trace does not say"),
        pytest.param(
            {"trace": {"file": "gaps.txt", "ratePerSecond": 9}}, 9, id="unless it is scaled"
        ),
    ],
)
def test_how_much_is_expected(fields, expected):
    assert arrivals(**fields).expected_per_second == expected


@pytest.mark.parametrize(
    ("fields", "duration_s", "expected"),
    [
        pytest.param({"poisson": {"ratePerSecond": 5}}, 10, 50, id="at one rate"),
        pytest.param({"steps": STEPS}, 9, 63, id="steps: the first alone"),
        pytest.param({"steps": STEPS}, 11, 73, id="steps: part of the last"),
        pytest.param({"steps": STEPS}, 20, 118, id="steps: the last one lasts to the end"),
        pytest.param({"trace": {"file": "gaps.txt"}}, 10, 0, id="a trace does not say"),
    ],
)
def test_how_much_is_expected_of_a_run(fields, duration_s, expected):
    assert arrivals(**fields).expected(duration_s) == expected


def test_steps_change_at_their_borders():
    assert list(arrivals(steps=[*STEPS, *STEPS]).changes_at_s) == [9, 14, 23]
    assert list(arrivals(poisson={"ratePerSecond": 1}).changes_at_s) == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="none"),
        pytest.param({"steps": []}, id="no step"),
        pytest.param({"steps": STEPS, "mmpp": MMPP}, id="two"),
    ],
)
def test_there_is_exactly_one_way(fields):
    with pytest.raises(ValidationError, match="exactly one of poisson, mmpp, steps, trace"):
        arrivals(**fields)
