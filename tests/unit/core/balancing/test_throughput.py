from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.throughput import (
    capacity_per_s,
    largest,
    least,
    limiting_step,
    one_more,
)
from tests.unit.core.balancing.pipelines import drawn_resources, drawn_steps, exhaustive, step

PRODUCE_AND_PROCESS = (step("produce", 10), step("process", 30, after=("produce",)))
OCR = (
    step("detect", 100, memory_bytes=10, cpu_s_per_row=0.1),
    step("recognise", 50, visits=6.0, after=("detect",), memory_bytes=20, cpu_s_per_row=0.05),
)


def test_a_step_three_times_as_slow_gets_three_times_the_workers():
    found = least(PRODUCE_AND_PROCESS, Resources(), 100.0)
    assert found.instances == {"produce": 1, "process": 3}
    assert found.rate_per_s == pytest.approx(100.0)
    assert found.reason == Reason.DEMAND_SERVED


@pytest.mark.parametrize(
    ("steps", "resources", "instances", "rate_per_s", "reason"),
    [
        pytest.param(
            PRODUCE_AND_PROCESS,
            Resources(),
            {"produce": 3, "process": 8},
            800 / 3,
            Reason.INSTANCE_LIMIT,
            id="as many as the limits let the slowest have, and no more of the others",
        ),
        pytest.param(
            OCR,
            Resources(memory_bytes=100),
            {"detect": 2, "recognise": 4},
            40 / 3,
            Reason.MEMORY_FULL,
            id="rows per request count: six lines a page keep the recogniser busy",
        ),
        pytest.param(
            OCR,
            Resources(processors=2.0),
            {"detect": 1, "recognise": 2},
            5.0,
            Reason.PROCESSORS_FULL,
            id="no more than the processors carry: K over the sum of v times p",
        ),
        pytest.param(
            OCR,
            Resources(ceiling_per_s=4.0),
            {"detect": 1, "recognise": 2},
            4.0,
            Reason.PROCESSORS_FULL,
            id="no more than was ever seen",
        ),
        pytest.param(
            OCR,
            Resources(memory_bytes=20),
            {"detect": 1, "recognise": 1},
            10 / 3,
            Reason.MEMORY_FULL,
            id="the fewest, where not even they fit",
        ),
        pytest.param(
            (step("a", 50, memory_bytes=None, least=2),),
            Resources(memory_bytes=100),
            {"a": 2},
            40.0,
            Reason.MEMORY_UNKNOWN,
            id="the fewest, where memory is limited and what an instance holds is unknown",
        ),
        pytest.param(
            (step("a", 50, memory_bytes=60), step("b", 50, memory_bytes=60, after=("a",))),
            Resources(memory_bytes=200),
            {"a": 1, "b": 1},
            20.0,
            Reason.MEMORY_FULL,
            id="two that limit alike, of which the memory has room for one",
        ),
    ],
)
def test_the_largest_rate(steps, resources, instances, rate_per_s, reason):
    found = largest(steps, resources)
    assert (dict(found.instances), found.reason) == (instances, reason)
    assert found.rate_per_s == pytest.approx(rate_per_s)


def test_whether_the_fewest_fit_is_told():
    assert not largest(OCR, Resources(memory_bytes=20)).fits
    assert largest(OCR, Resources(memory_bytes=30)).fits


def test_a_pipeline_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least one step"):
        largest((), Resources())


@given(drawn_steps(), drawn_resources())
@settings(deadline=None, max_examples=60)
def test_no_assignment_carries_more(steps, resources):
    found = largest(steps, resources)
    best = exhaustive(steps, resources)
    if found.fits:
        assert found.rate_per_s == pytest.approx(best)
    else:
        assert best == 0


@given(drawn_steps(), drawn_resources(), st.floats(0, 300))
@settings(deadline=None, max_examples=60)
def test_no_step_has_more_than_its_rate_needs(steps, resources, demand_per_s):
    found = least(steps, resources, demand_per_s)
    rate = min(found.rate_per_s, demand_per_s)
    for each in steps:
        fewer = {**found.instances, each.name: found.instances[each.name] - 1}
        if found.instances[each.name] > each.limits.min:
            assert capacity_per_s(steps, fewer, resources) < rate
    served = found.rate_per_s >= demand_per_s * (1 - 1e-9)
    assert served == (found.reason == Reason.DEMAND_SERVED)


@given(drawn_steps(), drawn_resources(), st.data())
@settings(deadline=None, max_examples=50)
def test_a_step_that_limits_and_fits_is_called_so(steps, resources, data):
    instances = {s.name: data.draw(st.integers(1, 4)) for s in steps}
    carried = capacity_per_s(steps, instances, resources)
    for name, more in one_more(steps, instances, resources, inf).items():
        grown = {**instances, name: instances[name] + 1}
        gain = capacity_per_s(steps, grown, resources) - carried
        assert more.gain_per_s == pytest.approx(gain)
        if gain > 0:
            assert more.reason not in (Reason.NOT_LIMITING, Reason.PROCESSORS_FULL)
            assert limiting_step(steps, instances, resources) == name


@pytest.mark.parametrize(
    ("instances", "resources", "demand_per_s", "reasons", "gain"),
    [
        pytest.param(
            {"detect": 1, "recognise": 1},
            Resources(),
            inf,
            {"detect": Reason.NOT_LIMITING, "recognise": Reason.LIMITING_STEP},
            10 / 3,
            id="one more of the step that carries least",
        ),
        pytest.param(
            {"detect": 1, "recognise": 1},
            Resources(memory_bytes=45),
            inf,
            {"detect": Reason.NOT_LIMITING, "recognise": Reason.MEMORY_FULL},
            10 / 3,
            id="if the memory had room",
        ),
        pytest.param(
            {"detect": 2, "recognise": 8},
            Resources(),
            30.0,
            {"detect": Reason.LIMITING_STEP, "recognise": Reason.NOT_LIMITING},
            0.0,
            id="of the other one it brings nothing",
        ),
        pytest.param(
            {"detect": 1, "recognise": 1},
            Resources(),
            3.0,
            {"detect": Reason.DEMAND_SERVED, "recognise": Reason.DEMAND_SERVED},
            10 / 3,
            id="not where what is asked is served",
        ),
        pytest.param(
            {"detect": 1, "recognise": 1},
            Resources(processors=0.4),
            inf,
            {"detect": Reason.PROCESSORS_FULL, "recognise": Reason.PROCESSORS_FULL},
            0.0,
            id="not where the processors are full",
        ),
    ],
)
def test_what_one_more_would_bring(instances, resources, demand_per_s, reasons, gain):
    found = one_more(OCR, instances, resources, demand_per_s)
    assert {name: more.reason for name, more in found.items()} == reasons
    assert found["recognise"].gain_per_s == pytest.approx(gain)


def test_the_message_says_what_it_would_bring_and_why_it_is_not_there():
    found = one_more(OCR, {"detect": 1, "recognise": 8}, Resources(), inf)
    assert found["recognise"].message == (
        "carries 27 requests/s, one more would add 0 to the pipeline's 10: "
        "another step carries less"
    )


def test_processors_limit_where_no_step_does():
    assert limiting_step(OCR, {"detect": 1, "recognise": 1}, Resources()) == "recognise"
    assert limiting_step(OCR, {"detect": 1, "recognise": 1}, Resources(processors=0.4)) is None
