"""Which cuts are clearly worth it: against all ways there are, and nothing by what is unknown."""

from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ferryman.api.pipelines.execution_status import CallStatus, MeasuredStep
from ferryman.api.pipelines.inference_pipeline import ExecutionSpec
from ferryman.api.pipelines.step import ModelRef
from ferryman.core.pipelines.cutting.comparison import CLEAR_S, CLEAR_SHARE, compared
from tests import factories
from tests.unit.core.pipelines.test_graph import acyclic, paths

CALL = CallStatus(milliseconds=2.0, mebibytes_per_second=100.0)


def pipeline(after, away, mode="Auto"):
    """Return a pipeline of which some steps refer to a model of their own."""
    steps = []
    for name, reads in after.items():
        wires = {f"x{at}": f"{each}.y" for at, each in enumerate(reads)} or {"x0": "image"}
        source = {"model": None, "model_ref": ModelRef(name=f"m-{name}")} if name in away else {}
        steps.append(factories.pipeline_step(name, "image", input_map=wires, **source))
    return factories.pipeline(steps=steps, execution=ExecutionSpec(mode=mode))


def comparison(after, figures, call=CALL, *, forced=(), mode="Auto"):
    """Compare by step -> (here, elsewhere or None where it cannot leave, bytes)."""
    away = {name: factories.model(f"m-{name}") for name, each in figures.items() if each[1]}
    steps = tuple(
        MeasuredStep(
            name=name,
            here_milliseconds=here,
            elsewhere_milliseconds=there or None,
            bytes_per_request=carried,
        )
        for name, (here, there, carried) in figures.items()
    )
    return compared(
        pipeline(after, away, mode), "home", away, steps=steps, call=call, forced=forced
    )


CHAIN = {"prepare": (), "detect": ("prepare",)}
FAST = {"prepare": (10.0, None, 0.0), "detect": (90.0, 8.0, 0.0)}


def test_a_clear_gain_is_the_steps_and_how_much_faster_a_request_is():
    found = comparison(CHAIN, FAST)
    assert found.clear_gain == ("detect",)
    assert found.gain_s(["detect"]) == pytest.approx(0.08)
    assert found.whole_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("figures", "fields"),
    [
        pytest.param({**FAST, "detect": (90.0, 69.0, 0.0)}, {}, id="less than a fifth"),
        pytest.param(
            {"prepare": (0.1, None, 0.0), "detect": (3.9, 0.1, 0.0)}, {}, id="less than 2 ms"
        ),
        pytest.param({**FAST, "detect": (90.0, 8.0, 2e7)}, {}, id="it carries too much"),
        pytest.param(FAST, {"call": None}, id="calls were not measured"),
        pytest.param({**FAST, "detect": (90.0, 8.0, None)}, {}, id="what it carries is unknown"),
        pytest.param({**FAST, "detect": (None, 8.0, 0.0)}, {}, id="not measured here"),
        pytest.param({**FAST, "prepare": (None, None, 0.0)}, {}, id="another was not measured"),
        pytest.param(FAST, {"mode": "Ensemble"}, id="one server is asked for"),
        pytest.param(FAST, {"forced": ["detect"]}, id="it must leave anyhow"),
        pytest.param(
            FAST, {"forced": ["detect"], "mode": "Ensemble"}, id="it must leave and may not"
        ),
        pytest.param(
            FAST, {"forced": ["detect"], "call": None}, id="it must leave, and nobody knows more"
        ),
    ],
)
def test_what_is_no_clear_gain(figures, fields):
    assert comparison(CHAIN, figures, **fields).clear_gain == ()


def test_what_is_not_known_to_gain_is_unknown():
    assert comparison(CHAIN, FAST, None).gain_s(["detect"]) is None
    assert comparison(CHAIN, FAST, forced=["detect"]).gain_s(["detect"]) is None


def test_two_steps_of_one_model_go_to_one_place():
    steps = pipeline(CHAIN, ["prepare", "detect"])
    model = factories.model("both")
    found = compared(steps, "home", {"prepare": model, "detect": model}, steps=(), call=CALL)
    assert [place.name for place in found.away] == ["InferenceModel both"]


@st.composite
def problems(draw):
    after = draw(acyclic().filter(lambda found: 1 <= len(found) <= 5))
    times = st.sampled_from([0.5, 2.0, 10.0, 20.0, 50.0])
    return after, {
        name: (
            draw(times),
            draw(st.none() | times),
            draw(st.sampled_from([0.0, 1e5, 1e6])),
        )
        for name in after
    }


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_no_other_steps_would_gain_more_and_no_clear_gain_is_missed(problem):
    after, figures = problem
    able = [name for name, each in figures.items() if each[1]]
    assume(able)

    def takes_ms(cut):
        took = {
            name: there + 2.0 + carried / (100 * 2**20) * 1e3 if name in cut else here
            for name, (here, there, carried) in figures.items()
        }
        return max(sum(took[each] for each in way) for name in after for way in paths(after, name))

    sets = [cut for size in range(1, len(able) + 1) for cut in combinations(able, size)]
    whole_ms, best_ms = takes_ms(()), min(map(takes_ms, sets))
    clear_ms = max(CLEAR_S * 1e3, CLEAR_SHARE * whole_ms)
    found = comparison(after, figures).clear_gain
    if whole_ms - best_ms > clear_ms + 1e-9:
        assert takes_ms(found) == pytest.approx(best_ms)
        assert len(found) == min(len(cut) for cut in sets if takes_ms(cut) <= best_ms + 1e-9)
    elif whole_ms - best_ms < clear_ms - 1e-9:
        assert found == ()
