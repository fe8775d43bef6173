from math import inf

import pytest
from pydantic import ValidationError

from ferryman.core.queue_model.service_curve import ServiceTime


def curve(**fields):
    return ServiceTime.model_validate(fields, extra="forbid")


def knots(*sizes):
    return [{"batchSize": size, "milliseconds": 5} for size in sizes]


def test_coefficients_are_a_formula_in_milliseconds():
    found = curve(coefficients={"t0": 4, "a": 2, "g": 0.5})
    assert found.curve_s(3) == pytest.approx((0.0065, 0.010, 0.0145))
    assert found.largest == inf


def test_between_knots_the_curve_is_straight():
    points = [{"batchSize": b, "milliseconds": ms} for b, ms in ((1, 5), (3, 9), (4, 20))]
    found = curve(knots=points)
    assert found.curve_s(4) == pytest.approx((0.005, 0.007, 0.009, 0.020))
    assert found.largest == 4


def test_a_factor_makes_every_batch_take_longer():
    found = curve(coefficients={"t0": 4, "a": 2})
    assert found.curve_s(2, factor=1.5) == pytest.approx((0.009, 0.012))


def test_drift_and_a_tenant_multiply():
    found = curve(
        coefficients={"t0": 1},
        drift=[{"atSeconds": 10, "factor": 2}],
        tenant=[
            {"fromSeconds": 5, "untilSeconds": 15, "factor": 1.5},
            {"fromSeconds": 15, "untilSeconds": 20, "factor": 3},
        ],
    )
    assert found.factors == {5: 1.5, 10: 3, 15: 6, 20: 2}
    assert curve(coefficients={"t0": 1}).factors == {}


def tenant(*times):
    return [{"fromSeconds": left, "untilSeconds": right, "factor": 2} for left, right in times]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, "exactly one of knots", id="no curve"),
        pytest.param(
            {"knots": knots(1, 64), "coefficients": {"t0": 1}},
            "exactly one of knots, coefficients",
            id="two curves",
        ),
        pytest.param({"knots": []}, "exactly one of knots", id="no knot"),
        pytest.param({"knots": knots(2, 64)}, "begin at batchSize 1", id="not from 1"),
        pytest.param({"knots": knots(1, 9, 9)}, "and ascend", id="a knot twice"),
        pytest.param({"coefficients": {}}, "must be greater than 0", id="batches take no time"),
        pytest.param(
            {"coefficients": {"t0": 1}, "drift": [{"atSeconds": 9, "factor": 0}]},
            "greater than 0",
            id="no time after a drift",
        ),
        pytest.param(
            {
                "coefficients": {"t0": 1},
                "drift": [{"atSeconds": 9, "factor": 2}, {"atSeconds": 9, "factor": 3}],
            },
            "drift must ascend in atSeconds",
            id="two drifts at once",
        ),
        pytest.param(
            {"coefficients": {"t0": 1}, "tenant": tenant((9, 9))},
            "untilSeconds must be more",
            id="a tenant that is never there",
        ),
        pytest.param(
            {"coefficients": {"t0": 1}, "tenant": tenant((1, 9), (8, 12))},
            "must not overlap",
            id="two tenants at once",
        ),
        pytest.param(
            {"coefficients": {"t0": 1}, "parallelism": 0.5},
            "greater than or equal to 1",
            id="one batch that slows itself down",
        ),
        pytest.param({"coefficients": {"t0": 1}, "noise": 2}, "less than", id="noise beyond all"),
    ],
)
def test_what_is_no_curve_is_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        curve(**fields)
