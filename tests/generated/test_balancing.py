"""What holds of every decision of the balancer, whatever the windows show."""

from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.core.balancing.decide import balance
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancerState, BalancingRules, StepSetup
from tests import factories
from tests.generated.examples import examples
from tests.unit.core.balancing.windows import applied, pipeline_window, step_window

NAMES = ("a", "b", "c")
MOST = 6


@st.composite
def drawn_windows(draw):
    """Draw what a window may show, the unlikely included."""
    steps = {}
    for name in NAMES:
        count = draw(st.sampled_from([0, 1, 5, 100, 400]))
        steps[name] = step_window(
            count,
            draw(st.floats(0.1, 2000.0)),
            draw(st.sampled_from([0.0, 1.0, 500.0, 20_000.0])),
            pending=draw(st.sampled_from([None, 0, 3, 500])),
            pending_before=draw(st.sampled_from([None, 0, 3, 500])),
            pods=draw(st.integers(1, 2)),
            inferences=count * draw(st.integers(1, 3)),
        )
    answered = draw(st.sampled_from([0, 2, 3, 50, 400]))
    return pipeline_window(
        answered,
        draw(st.one_of(st.none(), st.floats(0.1, 60_000.0))),
        steps,
        cpu_s=draw(st.one_of(st.none(), st.floats(0.0, 100.0))),
        failures=draw(st.sampled_from([0, 0, 30])),
        rejected=draw(st.sampled_from([None, 0, 30])),
    )


@st.composite
def drawn_rules(draw):
    setups = tuple(
        StepSetup(
            name,
            tuple(other for other in NAMES[:number] if draw(st.booleans())),
            factories.limits((1, 8), instances=(1, MOST)),
            memory_bytes=draw(st.sampled_from([None, 0, 1, 2])),
            live_cap=draw(st.booleans()),
        )
        for number, name in enumerate(NAMES)
    )
    resources = Resources(
        memory_bytes=draw(st.one_of(st.none(), st.integers(3, 20))),
        processors=draw(st.one_of(st.none(), st.floats(0.5, 16.0))),
    )
    objectives = draw(
        st.sampled_from(
            [
                None,
                Objectives(latency=LatencyObjective(target_milliseconds=300)),
                Objectives(throughput=ThroughputObjective(min_per_second=20)),
            ]
        )
    )
    return BalancingRules(setups, resources, objectives)


def held_bytes(rules, assignment):
    return sum(
        (setup.memory_bytes or 0) * assignment[setup.name].instances for setup in rules.steps
    )


@given(drawn_rules(), st.lists(drawn_windows(), min_size=1, max_size=5), st.data())
@examples(20)
def test_every_decision_keeps_to_limits_memory_and_what_may_be_changed(rules, windows, data):
    now, state = applied(bound=4, **dict.fromkeys(NAMES, 1)), BalancerState()
    for window in windows:
        found = balance(rules, now, window, state)
        capped = {setup.name for setup in rules.steps if setup.live_cap}
        for name, batching in found.assignment.items():
            assert 1 <= batching.instances <= MOST
            if name not in capped:
                assert batching.max_batch_size == now[name].max_batch_size
            rest = {"instances": now[name].instances, "max_batch_size": now[name].max_batch_size}
            assert batching.with_(**rest) == now[name]
        memory = rules.resources.memory_bytes
        if memory is not None and held_bytes(rules, now) <= memory:
            assert held_bytes(rules, found.assignment) <= memory
            for setup in rules.steps:
                if setup.memory_bytes is None:
                    before = now[setup.name].instances
                    assert found.assignment[setup.name].instances <= before
        assert [account.name for account in found.steps] == list(NAMES)
        assert found.message
        made = data.draw(st.booleans())
        now, state = (found.assignment, found.state) if made else (now, found.if_refused)
