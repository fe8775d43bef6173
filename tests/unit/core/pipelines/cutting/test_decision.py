"""A pipeline that cuts a step off for speed, from the first figures to the end of the trial."""

from datetime import timedelta

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    ServiceTimePoint,
    ServiceTimes,
)
from ferryman.api.pipelines.execution_status import CallStatus, CutStatus, MeasuredStep
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus, StepStatus
from ferryman.core.pipelines.cutting.decision import Cutting, decide_cutting, told
from ferryman.core.pipelines.cutting.words import events_of
from tests import factories
from tests.unit.core.pipelines.scenes import (
    PLACED,
    RUNTIME,
    TENSORS,
    assignment,
    balancing,
    loaded,
    planned,
    served,
    window,
)
from tests.unit.core.pipelines.test_distribution import (
    CPU_ALONE,
    ELSEWHERE,
    detector,
    pipeline,
    said,
    seen,
)

GPU = factories.runtime_processor("gpu", backends={"python": "python", "onnx": "onnxruntime"})
CALL = CallStatus(milliseconds=2.0, mebibytes_per_second=100.0)
FIGURES = (
    MeasuredStep(name="prepare", here_milliseconds=10.0),
    MeasuredStep(
        name="detect",
        here_milliseconds=80.0,
        elsewhere_milliseconds=8.0,
        bytes_per_request=0.0,
        instances=3,
    ),
    MeasuredStep(name="read", here_milliseconds=10.0),
)
ROWS = tuple(StepStatus(name=each.name, rows_per_request=1.0) for each in FIGURES)


def fast(ms=8.0, *, ready="True", config=None):
    """Return the InferenceModel that takes so long for one row."""
    status = InferenceModelStatus(
        conditions=(said(factories.at(), ready),),
        placement=ELSEWHERE,
        service_times=(
            ServiceTimes(
                node_type="gpu-box",
                processor="gpu",
                measured_at=factories.at(),
                points=(ServiceTimePoint(batch_size=1, milliseconds=ms),),
            ),
        ),
    )
    return detector(config).with_(status=status)


def subject(cut=None, *, mode="Auto", steps=FIGURES, generation=1, call=CALL, **spec):
    """Return a pipeline of which this was measured, and this decided about cuts."""
    found = pipeline(mode, **spec)
    status = InferencePipelineStatus(
        placement=PLACED,
        balancing=balancing(assignment(detect=3)),
        steps=ROWS,
        execution=factories.execution(call=call, steps=steps, cut=cut),
    )
    return found.with_(status=status, metadata=found.metadata.with_(generation=generation))


def a_cut(state, **fields):
    values = {"since": factories.at(), "generation": 1, "message": "why", **fields}
    return CutStatus(steps=("detect",), state=state, **values)


def decided(found, model=None, shown=None, *, runtime=RUNTIME, seconds=0.0, **fields):
    return decide_cutting(
        seen(found, model or fast(), **fields),
        runtime,
        shown,
        factories.NOW + timedelta(seconds=seconds),
    )


def execution(found, model=None, **fields):
    """Return what the plan's status says of the servers."""
    return planned(seen(found, model or fast(), **fields)).status.execution


def test_a_step_that_would_be_clearly_faster_elsewhere_is_wanted_there():
    found = decided(subject())
    assert (found.cut.steps, found.cut.state, found.applied) == (("detect",), "Wanted", ())
    status = execution(subject())
    assert (status.mode, status.reason) == ("Ensemble", Reason.ONE_SERVER_FITS)
    assert status.message == (
        "one server on cpu-small (cpu) holds all steps: a request takes 100 ms; a request would "
        "be faster: detect cut off, once that has been so for 10 min"
    )
    whole, parted = status.candidates
    assert (whole.chosen, whole.reason) == (True, Reason.ONE_SERVER_FITS)
    assert (parted.chosen, parted.reason) == (False, Reason.CUT_GAINS)
    assert (parted.latency_milliseconds, parted.added_milliseconds) == (30.0, 2.0)


@pytest.mark.parametrize(
    ("found", "model", "reason"),
    [
        pytest.param(subject(call=None), fast(), Reason.NOT_MEASURED, id="calls"),
        pytest.param(
            subject(steps=(FIGURES[0], MeasuredStep(name="detect"), FIGURES[2])),
            fast(),
            Reason.NOT_MEASURED,
            id="the step here",
        ),
        pytest.param(
            subject(steps=(FIGURES[0], FIGURES[1].with_(elsewhere_milliseconds=None), FIGURES[2])),
            detector(),
            Reason.NOT_MEASURED,
            id="the step elsewhere",
        ),
        pytest.param(subject(), fast(79.0), Reason.CUT_COSTS_MORE, id="calls cost more"),
    ],
)
def test_what_is_not_known_to_gain_is_told_and_left(found, model, reason):
    assert decided(found, model).cut is None
    status = execution(found, model)
    assert [each.reason for each in status.candidates] == [Reason.ONE_SERVER_FITS, reason]
    assert status.cut is None


def test_a_small_gain_is_told_and_left():
    status = execution(subject(), fast(65.0))
    assert status.cut is None
    assert status.message.endswith("what a cut gains is too little to change what serves")
    assert status.candidates[1].reason == Reason.CUT_GAINS


@pytest.mark.parametrize(
    ("found", "fields"),
    [
        pytest.param(subject(mode="Ensemble"), {}, id="one server is asked for"),
        pytest.param(subject(mode="Distributed"), {}, id="several are"),
        pytest.param(subject(), {"runtime": CPU_ALONE}, id="no one server holds all"),
        pytest.param(subject(), {"model": fast(config={})}, id="a proxy's tensors are unknown"),
        pytest.param(subject(), {"model": fast(ready="False")}, id="its servers do not answer"),
        pytest.param(subject(referring=False), {}, id="no step refers to a model"),
        pytest.param(subject().with_(status=InferencePipelineStatus()), {}, id="it is nowhere yet"),
        pytest.param(
            subject(),
            {"runtime": factories.runtime(processors=[factories.runtime_processor()])},
            id="no backend runs a proxy",
        ),
        pytest.param(
            subject(), {"runtime": factories.runtime(processors=[GPU])}, id="its class is gone"
        ),
    ],
)
def test_where_nothing_may_be_cut_off_for_speed(found, fields):
    assert decided(found, **fields).cut is None


WANTED = a_cut("Wanted", windows=6, before_milliseconds=100.0)


def test_after_a_lasting_gain_the_step_is_cut_off_on_trial():
    plan = planned(
        seen(subject(WANTED), fast(), serving=served()),
        now=factories.NOW + timedelta(minutes=11),
        program="print('proxy')",
    )
    status = plan.status.execution
    assert (status.mode, status.reason, status.cut.state) == (
        "Distributed", Reason.CUT_GAINS, "Trial"
    )  # fmt: skip
    assert status.candidates[0].servers == (("prepare", "read"), ("detect",))
    assert "detect cut off on trial: a request takes 100 ms on one server" in status.message
    data = next(each for each in plan.objects if each["kind"] == "ConfigMap")["data"]
    assert data["detect.py"] == "print('proxy')"
    event = next(each for each in plan.events if each.reason == Reason.CUT_GAINS)
    assert event.type == "Normal"


def test_windows_of_pods_that_serve_are_taken_into_the_means():
    shown = window(detect=80.0)
    slow = type(shown)(factories.window(requests=100, mean_latency_ms=120.0), shown.steps)
    found = decided(subject(a_cut("Wanted")), shown=slow, serving=served())
    assert (found.cut.windows, found.cut.before_milliseconds) == (1, 120.0)
    unsettled = decided(subject(a_cut("Wanted")), shown=slow, serving=served(updated_replicas=0))
    assert unsettled.cut.windows == 0


def test_requests_that_fail_on_trial_end_it():
    shown = window(detect=1.0)
    bad = type(shown)(factories.window(requests=100, failures=5), shown.steps)
    trial = a_cut("Trial", before_milliseconds=100.0)
    found = decided(subject(trial), shown=bad, serving=served(), seconds=300)
    assert (found.cut.state, found.applied) == ("TakenBack", ())


def test_a_step_that_is_taken_back_has_the_workers_it_had():
    one = subject(a_cut("Kept"))
    one = one.with_(status=one.status.with_(balancing=balancing(assignment())))
    model = fast(ready="False")
    found = decided(one, model)
    assert (found.cut.state, found.returned) == ("TakenBack", {"detect": 3})
    plan = planned(seen(one, model))
    assert plan.status.workers == "prepare=1 detect=3 read=1"
    event = next(each for each in plan.events if each.reason == Reason.TAKEN_BACK)
    assert event.message == "detect taken back: the InferenceModels of detect were not ready"
    kept = planned(seen(one, fast())).status
    assert kept.workers == "prepare=1 detect=1 read=1"
    asked = subject(a_cut("Kept"), mode="Ensemble")
    assert decided(asked).returned == {"detect": 3}


def test_what_serves_the_step_is_told_although_one_server_would_do_as_well():
    status = execution(subject(a_cut("Kept")), fast(79.0))
    assert (status.mode, status.reason, status.cut.state) == (
        "Distributed", Reason.CUT_GAINS, "Doubted"
    )  # fmt: skip
    assert status.candidates[0].chosen
    assert status.candidates[0].servers == (("prepare", "read"), ("detect",))
    assert status.candidates[1].reason == Reason.ONE_SERVER_FITS


def test_of_two_steps_that_could_leave_what_serves_is_told_beside_what_would_be_best():
    steps = list(pipeline().spec.steps)
    steps[2] = steps[2].with_(model=None, model_ref=steps[1].model_ref)
    measured = {"here_milliseconds": 90.0, "elsewhere_milliseconds": 8.0, "bytes_per_request": 0.0}
    one = subject(a_cut("Kept"), steps=(*FIGURES[:2], FIGURES[2].with_(**measured)))
    status = execution(one.with_(spec=one.spec.with_(steps=tuple(steps))))
    assert status.candidates[0].servers == (("prepare", "read"), ("detect",))
    assert status.message.startswith("detect cut off; detect cut off for good")
    assert status.candidates[-1].servers == (("prepare",), ("detect",), ("read",))


def test_forced_cuts_are_told_with_what_they_cost():
    status = execution(subject(mode="Distributed"))
    assert status.message == (
        "with cpu-small (cpu) as home, detect to InferenceModel detector cut off: a request takes "
        "30 ms, 2 ms of it calls; execution.mode asks for several servers"
    )
    assert (status.call, status.steps[1].name) == (CALL, "detect")


def test_what_the_specification_does_not_allow_is_not_told():
    assert told(subject(mode="Ensemble"), "cpu", {"detect": fast()}, Cutting()) is None


def test_of_another_place_nothing_is_known_of_what_steps_take_there():
    found = told(subject(), "other (cpu)", {}, Cutting(CALL, FIGURES, None, {"detect": fast()}))
    assert [each.here_milliseconds for each in found.steps] == [None, None, None]
    assert found.steps[1].elsewhere_milliseconds == 8.0


def test_while_nothing_can_be_decided_the_figures_stay():
    without = planned(seen(subject(a_cut("Kept"))).with_(models={}))
    assert without.status.execution == subject(a_cut("Kept")).status.execution


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, None, (), id="nothing"),
        pytest.param(None, a_cut("Wanted"), (), id="wanted: nothing is done"),
        pytest.param(a_cut("Wanted"), a_cut("Trial"), ("CutGains",), id="cut off"),
        pytest.param(a_cut("Trial"), a_cut("Trial"), (), id="no change"),
        pytest.param(a_cut("Trial"), a_cut("Kept"), ("CutGains",), id="for good"),
        pytest.param(a_cut("Kept"), a_cut("Doubted"), (), id="doubted: nothing is done"),
        pytest.param(a_cut("Trial"), a_cut("TakenBack"), ("TakenBack",), id="taken back"),
        pytest.param(a_cut("TakenBack"), None, (), id="forgotten"),
    ],
)
def test_events_tell_what_changed_in_what_serves(before, after, expected):
    assert tuple(each.reason for each in events_of(before, after)) == expected


def test_what_was_asked_when_objects_are_rendered_is_what_the_status_says():
    """The plan of a trial asks the step's model, and no other pod may be asked."""
    plan = planned(seen(subject(a_cut("Trial", before_milliseconds=100.0)), fast()))
    policy = next(each for each in plan.objects if each["kind"] == "NetworkPolicy")
    assert policy["spec"]["egress"][0]["to"] == [
        {"podSelector": {"matchLabels": {"serving.ferryman.dev/model": "detector"}}}
    ]
    assert plan.status.workers == "prepare=1 detect=1 read=1"


def shown_by_pods(*, proxied):
    """Return what pods have of each step: themselves, or a proxy in the place of detect."""
    proxy = {**TENSORS, "parameters": {"FERRYMAN_STEP_HOST": {"string_value": "there"}}}
    configs = {"prepare": TENSORS, "detect": proxy if proxied else TENSORS, "read": TENSORS}
    return {name: loaded(name, 1, configs={"hash": each}) for name, each in configs.items()}


@pytest.mark.parametrize(
    ("after_ms", "states"),
    [
        pytest.param(40.0, ["Wanted", "Trial", "Kept"], id="it brings what was predicted"),
        pytest.param(109.0, ["Wanted", "Trial", "TakenBack"], id="it brings nothing"),
    ],
)
def test_a_whole_life(after_ms, states):
    """A window ends every minute, and pods are there at once."""
    found, seen_states = subject(steps=()), []
    for minute in range(60):
        cut = found.status.execution.cut
        proxied = cut is not None and cut.state in {"Trial", "Kept"}
        shown = window(detect=0.1 if proxied else 80.0)
        whole = factories.window(requests=1000, mean_latency_ms=after_ms if proxied else 110.0)
        plan = planned(
            seen(found, fast(), serving=served(), steps=shown_by_pods(proxied=proxied)),
            window=type(shown)(whole, shown.steps),
            now=factories.NOW + timedelta(minutes=minute),
        )
        found = found.with_(status=plan.status)
        after = found.status.execution.cut
        if after is not None and after.state not in seen_states[-1:]:
            seen_states.append(after.state)
    assert seen_states == states
    detect = found.status.execution.steps[1]
    assert detect.here_milliseconds == 80.0, "it is remembered"
