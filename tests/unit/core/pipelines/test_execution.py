"""One server or several: what is chosen, why, and that no other way would be faster."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.core.pipelines import splits
from ferryman.core.pipelines.execution import choose
from ferryman.core.pipelines.splits import Crossing, ServerPlace, StepNeeds
from tests.unit.core.pipelines.test_graph import DIAMOND, acyclic, graph, paths

CPU, GPU = ServerPlace("cpu", 1000), ServerPlace("gpu", 500)
CALL = Crossing(call_s=0.002, bytes_per_s=1e9)
CHAIN = graph({"prepare": "", "detect": ["prepare"], "join": ["detect"]})


def needs(detect=(0.1, 0.01), memory=100, traffic=1e6, prepare=None):
    """`prepare` and `join` take 10 ms on the CPU; `detect` takes so long there and on the GPU."""
    small = prepare or StepNeeds({"cpu": 0.01}, memory, 1e6)
    seconds = {name: s for name, s in zip(("cpu", "gpu"), detect, strict=True) if s != ()}
    return {"prepare": small, "detect": StepNeeds(seconds, memory, traffic), "join": small}


def chain(mode="Auto", places=(CPU, GPU), crossing=CALL, **stated):
    return choose(CHAIN, needs(**stated), places, crossing, mode)


@pytest.mark.parametrize(
    ("stated", "cut", "reason", "words"),
    [
        pytest.param(
            {}, {"detect": "gpu"}, Reason.CUT_GAINS,
            "with cpu as home, detect to gpu cut off: a request takes 33 ms, 3 ms of it calls; "
            "on one server it takes 120 ms",
            id="the step is so much faster elsewhere that the call is worth it",
        ),
        pytest.param(
            {"detect": (0.1, 0.098)}, {}, Reason.ONE_SERVER_FITS,
            "one server on cpu holds all steps: a request takes 120 ms",
            id="the call costs more than the step gains",
        ),
        pytest.param(
            {"traffic": 1e8, "prepare": StepNeeds({"cpu": 0.01}, 100, 1e8)}, {},
            Reason.ONE_SERVER_FITS, "holds all steps",
            id="what the step reads is too much to send",
        ),
        pytest.param(
            {"crossing": None}, {}, Reason.ONE_SERVER_FITS, "a request takes 120 ms",
            id="calls were not measured",
        ),
        pytest.param(
            {"detect": (0.1, None)}, {}, Reason.ONE_SERVER_FITS, "a request takes 120 ms",
            id="the step was not measured elsewhere",
        ),
        pytest.param(
            {"detect": (None, 0.01)}, {}, Reason.ONE_SERVER_FITS, "one server on cpu holds",
            id="the step was not measured here",
        ),
        pytest.param(
            {"traffic": None, "prepare": StepNeeds({"cpu": 0.01}, 100)}, {},
            Reason.ONE_SERVER_FITS, "holds all steps",
            id="it is not known what the step reads",
        ),
        pytest.param(
            {"detect": ((), 0.01)}, {"detect": "gpu"}, Reason.CUT_NEEDED,
            "no one server holds all steps",
            id="the step needs another processor",
        ),
        pytest.param(
            {"detect": ((), None), "crossing": None}, {"detect": "gpu"}, Reason.CUT_NEEDED,
            "with cpu as home, detect to gpu cut off; no one server",
            id="the step needs another processor, and nothing was measured",
        ),
        pytest.param(
            {"memory": 400, "detect": (0.01, ())}, {"prepare": "cpu"}, Reason.CUT_NEEDED,
            "a request takes 33 ms, 3 ms of it calls; no one server",
            id="the steps do not fit into one server together",
        ),
        pytest.param(
            {"memory": None}, {"detect": "gpu"}, Reason.CUT_GAINS, "", id="memory is not known"
        ),
        pytest.param(
            {"mode": "Ensemble"}, {}, Reason.ONE_SERVER_FITS, "a request takes 120 ms",
            id="one server was asked for",
        ),
        pytest.param(
            {"mode": "Distributed", "detect": (0.01, 0.01)}, {"prepare": "cpu"}, Reason.CUT_NEEDED,
            "execution.mode asks for several servers",
            id="several servers were asked for",
        ),
    ],
)  # fmt: skip
def test_what_is_chosen_and_why(stated, cut, reason, words):
    choice = chain(**stated)

    assert {name: place.name for name, place in choice.chosen.cut.items()} == cut
    assert choice.chosen.home == CPU
    assert choice.reason == reason
    assert words in choice.message


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        pytest.param(
            {"mode": "Ensemble", "detect": ((), 0.01)},
            "detect cannot run on cpu; prepare and join cannot run on gpu: choose execution.mode "
            "Auto, allow further processors",
            id="one server was asked for, and none has all processors",
        ),
        pytest.param(
            {"mode": "Ensemble", "memory": 2**20, "places": (ServerPlace("cpu", 2**21),)},
            "all steps together hold 3 MiB, and a server on cpu has 2",
            id="one server was asked for, and none is large enough",
        ),
        pytest.param(
            {"memory": 2000},
            "with gpu as home, not every step has a place",
            id="no server is large enough for a step",
        ),
        pytest.param({"places": ()}, "there is no place to run it: allow", id="no place at all"),
    ],
)
def test_where_nothing_fits_it_is_said_why_and_what_to_do(stated, words):
    choice = chain(**stated)

    assert (choice.chosen, choice.reason) == (None, Reason.NO_CANDIDATE)
    assert words in choice.message
    assert choice.as_status(CHAIN.order) is None


def test_the_first_place_that_holds_all_is_taken_though_another_is_faster():
    """Which node type serves is placement's to say, by what the specification asks of it."""
    every = {name: StepNeeds({"gpu": 0.01, "cpu": 0.1}, 1, 1.0) for name in CHAIN.names}
    choice = choose(CHAIN, every, (CPU, GPU), CALL)

    assert choice.chosen.home == CPU
    assert [(each.home, each.reason) for each in choice.candidates] == [
        (CPU, Reason.ONE_SERVER_FITS),
        (GPU, Reason.ONE_SERVER_FITS),
        (CPU, Reason.CUT_COSTS_MORE),
        (GPU, Reason.CUT_COSTS_MORE),
    ]


@pytest.mark.parametrize("compared", [splits.MAX_COMPARED_STEPS, 0], ids=["all sets", "some sets"])
def test_a_step_that_nobody_waits_for_is_not_cut_off(monkeypatch, compared):
    """`b` would gain by it, but `c` beside it takes longer than both."""
    monkeypatch.setattr(splits, "MAX_COMPARED_STEPS", compared)
    slow = {name: StepNeeds({"cpu": 0.01}, 1, 1.0) for name in "ad"}
    diamond = {
        **slow,
        "b": StepNeeds({"cpu": 0.05, "gpu": 0.01}, 1, 1.0),
        "c": StepNeeds({"cpu": 0.09, "gpu": 0.06}, 1, 1.0),
    }
    assert set(choose(graph(DIAMOND), diamond, (CPU, GPU), CALL).chosen.cut) == {"c"}


@pytest.mark.parametrize("compared", [splits.MAX_COMPARED_STEPS, 0], ids=["all sets", "some sets"])
def test_what_is_too_much_for_one_server_leaves_it(monkeypatch, compared):
    """Of five steps of 10 and one of 40, which together do not fit into 80, one is enough."""
    monkeypatch.setattr(splits, "MAX_COMPARED_STEPS", compared)
    names = "abcdef"
    every = {name: StepNeeds({"p": 0.01}, 40 if name == "d" else 10, 1.0) for name in names}
    line = graph({name: names[:n][-1:] for n, name in enumerate(names)})
    choice = choose(line, every, [ServerPlace("p", 80)], CALL)

    assert len(choice.chosen.cut) == 1
    assert choice.chosen.latency_s == pytest.approx(0.062)


def test_two_homes_that_do_as_well_are_told_apart_by_placements_order():
    every = {
        "prepare": StepNeeds({"a": 0.01, "b": 0.01}, 1, 1.0),
        "detect": StepNeeds({"c": 0.01}, 1, 1.0),
        "join": StepNeeds({"a": 0.01, "b": 0.01}, 1, 1.0),
    }
    choice = choose(CHAIN, every, [ServerPlace(name) for name in "abc"], CALL)

    assert choice.chosen.home.name == "a"
    other = next(e for e in choice.candidates if e.home.name == "b" and e.split)
    assert (other.reason, "what was chosen does as well" in other.message) == (
        Reason.CUT_COSTS_MORE,
        True,
    )


def test_the_status_tells_the_chosen_way_first_and_explains_the_others():
    status = chain().as_status(CHAIN.order).as_dict()

    assert (status["mode"], status["reason"]) == ("Distributed", "CutGains")
    first, *others = status["candidates"]
    assert first | {"message": ""} == {
        "place": "cpu",
        "servers": [["prepare", "join"], ["detect"]],
        "chosen": True,
        "latencyMilliseconds": 33.0,
        "addedMilliseconds": 3.0,
        "reason": "CutGains",
        "message": "",
    }
    assert [(each["place"], each["reason"]) for each in others] == [
        ("cpu", "OneServerFits"),
        ("gpu", "DoesNotFit"),
        ("gpu", "CutCostsMore"),
    ]
    assert others[1].get("servers") == []
    assert chain(mode="Ensemble").as_status(CHAIN.order).mode == "Ensemble"


def test_what_was_not_measured_is_said_to_be_unknown():
    reasons = [each.reason for each in chain(crossing=None).candidates]
    assert reasons.count(Reason.NOT_MEASURED) == 2


# Against all ways there are.

SECONDS = st.sampled_from([0.001, 0.01, 0.02, 0.05, 0.1])


@st.composite
def problems(draw):
    after = draw(acyclic().filter(lambda found: len(found) <= 5))
    limits = st.none() | st.integers(1, 12)
    places = [ServerPlace(name, draw(limits)) for name in "pqr"[: draw(st.integers(1, 3))]]
    here = [place.name for place in places]
    stated = {
        name: StepNeeds(
            draw(st.dictionaries(st.sampled_from(here), SECONDS, min_size=1)),
            draw(st.integers(0, 6)),
            draw(st.sampled_from([0.0, 1e6, 1e8])),
        )
        for name in after
    }
    return after, stated, places, Crossing(draw(st.sampled_from([0.0, 0.003, 0.03])), 1e9)


def every_way(after, stated, places, crossing):
    """Yield (home, steps cut off, seconds) of each way to put each step on home or on its own."""
    room = {
        place.name: 1e9 if place.memory_bytes is None else place.memory_bytes for place in places
    }
    for home, there in room.items():
        for where in product([None, *room], repeat=len(after)):
            spot = dict(zip(after, where, strict=True))
            runs = {name: home if own is None else own for name, own in spot.items()}
            if any(runs[name] not in stated[name].seconds for name in after):
                continue
            staying = [name for name, own in spot.items() if own is None]
            held = sum(stated[name].memory_bytes for name in staying)
            alone = all(stated[name].memory_bytes <= room[own] for name, own in spot.items() if own)
            if held > there or not alone:
                continue
            took = {
                name: stated[name].seconds[runs[name]]
                + (0 if own is None else crossing.call_s + stated[name].traffic_bytes / 1e9)
                for name, own in spot.items()
            }
            ways = [way for name in after for way in paths(after, name)]
            yield home, len(after) - len(staying), max(sum(took[n] for n in way) for way in ways)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(problem=problems())
def test_no_other_way_is_faster_where_cuts_are_allowed_and_none_is_made_without_gain(problem):
    after, stated, places, crossing = problem
    every = list(every_way(*problem))
    whole = [way for way in every if not way[1]]
    parted = [way for way in every if way[1]]
    choice = choose(graph(after), stated, places, crossing)

    if not every:
        assert choice.chosen is None
        return
    least_cut = min((way[2] for way in parted), default=float("inf"))
    least_whole = min((way[2] for way in whole), default=float("inf"))
    if least_cut < least_whole - 1e-12:
        assert choice.chosen.mode == "Distributed"
        assert choice.chosen.latency_s == pytest.approx(least_cut)
        fewest = min(way[1] for way in parted if way[2] <= least_cut + 1e-12)
        assert len(choice.chosen.cut) == fewest
    elif least_cut > least_whole + 1e-12:
        order = [place.name for place in places]
        assert choice.chosen.mode == "Ensemble"
        assert choice.chosen.home.name == min((way[0] for way in whole), key=order.index)
    assert all(each.message for each in choice.candidates)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(problem=problems())
def test_of_many_steps_what_is_cut_off_fits_and_is_as_fast_where_memory_does_not_bind(problem):
    after, stated, places, crossing = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "MAX_COMPARED_STEPS", -1)
        choice = choose(graph(after), stated, places, crossing, "Distributed")
    ways = [way for way in every_way(*problem) if way[1]]

    assert (choice.chosen is None) == (not ways)
    if choice.chosen is None:
        return
    assert any(
        (way[0], way[1]) == (choice.chosen.home.name, len(choice.chosen.cut))
        and way[2] == pytest.approx(choice.chosen.latency_s)
        for way in ways
    )
    if all(place.memory_bytes is None for place in places):
        assert choice.chosen.latency_s == pytest.approx(min(way[2] for way in ways))
