"""What was measured of steps: here, at their InferenceModels, and what they carry."""

import pytest

from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
    ServiceTimePoint,
    ServiceTimes,
)
from ferryman.api.pipelines.execution_status import CutStatus, MeasuredStep
from ferryman.api.pipelines.inference_pipeline_status import StepStatus
from ferryman.core.pipelines.cutting.figures import elsewhere_ms, measured, traffic_bytes
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.signatures import Signature, TensorSignature
from tests import factories
from tests.unit.core.pipelines.scenes import TENSORS, assignment, balancing, loaded, steps, window
from tests.unit.core.pipelines.test_distribution import detector, pipeline, seen

GPU = PlacementStatus(node_type="gpu-box", processor="gpu", reason="X", message="x")
ROWS = tuple(StepStatus(name=name, rows_per_request=1.0) for name in ("prepare", "detect", "read"))


def curve(*points, node_type="gpu-box"):
    return ServiceTimes(
        node_type=node_type,
        processor="gpu",
        measured_at=factories.at(),
        points=tuple(ServiceTimePoint(batch_size=b, milliseconds=ms) for b, ms in points),
    )


def served(*times, observed=None, placement=GPU):
    status = InferenceModelStatus(placement=placement, service_times=times, observed=observed)
    return factories.model("detector", status=status)


@pytest.mark.parametrize(
    ("model", "rows", "expected"),
    [
        pytest.param(served(curve((1, 4.0), (8, 11.0))), 1.0, 4.0, id="a size that was measured"),
        pytest.param(served(curve((1, 4.0), (8, 11.0))), 3.5, 6.5, id="between two"),
        pytest.param(served(curve((1, 4.0), (2, 5.0), (8, 11.0))), 5.0, 8.0, id="of several"),
        pytest.param(served(curve((1, 4.0), (8, 11.0))), 7.8, 11.0, id="nearly such a size"),
        pytest.param(served(curve((1, 4.0))), 2.0, None, id="larger than was measured"),
        pytest.param(served(curve((1, 4.0), node_type="other")), 1.0, None, id="elsewhere only"),
        pytest.param(
            served(curve((1, 9.0), node_type="other"), curve((1, 4.0))), 1.0, 4.0, id="where it is"
        ),
        pytest.param(
            served(curve((1, 4.0)), curve((1, 9.0), node_type="other")), 1.0, 4.0, id="where it was"
        ),
        pytest.param(served(), 1.0, None, id="never measured"),
        pytest.param(served(curve((1, 4.0))), None, None, id="rows unknown"),
        pytest.param(served(curve((1, 4.0)), placement=None), 1.0, None, id="nowhere"),
        pytest.param(
            served(curve((1, 4.0)), placement=GPU.with_(further_node_types=("other",))),
            1.0,
            None,
            id="on several types",
        ),
        pytest.param(
            served(curve((1, 4.0)), observed=ObservedStatus(mean_latency_milliseconds=30.0)),
            1.0,
            30.0,
            id="its own clients wait",
        ),
        pytest.param(
            served(curve((1, 4.0)), observed=ObservedStatus()), 1.0, 4.0, id="nobody asks it now"
        ),
    ],
)
def test_how_long_an_inference_model_takes_for_a_request(model, rows, expected):
    assert elsewhere_ms(model, rows) == expected


GRAPH = Graph.of(pipeline().spec)


def tensor(datatype="FP32", dims=(10,), *, batched=True):
    return TensorSignature(datatype, dims, batched)


def signature(inputs=None, outputs=None):
    return Signature(
        {"input": tensor()} if inputs is None else inputs,
        {"output": tensor(), "unread": tensor()} if outputs is None else outputs,
    )


@pytest.mark.parametrize(
    ("known", "rows", "expected"),
    [
        pytest.param(signature(), 1.0, 80.0, id="what it reads, and what is read of it"),
        pytest.param(signature(), 2.5, 200.0, id="of each row"),
        pytest.param(
            signature({"input": tensor("UINT8", (3, 2), batched=False)}), 2.0, 86.0, id="no rows"
        ),
        pytest.param(signature(), None, None, id="rows unknown"),
        pytest.param(Signature(), 1.0, None, id="nothing known"),
        pytest.param(Signature({"input": tensor()}), 1.0, None, id="outputs unknown"),
        pytest.param(signature({}), 1.0, None, id="an input unknown"),
        pytest.param(signature({"input": tensor(dims=(-1,))}), 1.0, None, id="any size"),
        pytest.param(signature({"input": tensor(dims=None)}), 1.0, None, id="no shape"),
        pytest.param(signature({"input": tensor(batched=None)}), 1.0, None, id="rows or not"),
        pytest.param(signature({"input": tensor("BYTES")}), 1.0, None, id="texts"),
        pytest.param(signature({"input": tensor(None)}), 1.0, None, id="no type"),
    ],
)
def test_what_a_step_carries_for_a_request(known, rows, expected):
    assert traffic_bytes(GRAPH, "detect", known, rows) == expected


def steps_of(subject=None, shown=None, **fields):
    subject = subject or pipeline("Auto")
    if "rows" in fields:
        subject = subject.with_(status=subject.status.with_(steps=fields.pop("rows")))
    values = {"steps": steps("hash"), **fields}
    return {each.name: each for each in measured(seen(subject, **values), shown)}


def test_a_window_tells_what_each_step_takes_here_and_models_what_theirs_take():
    model = detector().with_(status=served(curve((1, 4.0))).status)
    found = steps_of(shown=window(detect=30.0), rows=ROWS, model=model)
    assert found["detect"] == MeasuredStep(
        name="detect",
        here_milliseconds=30.0,
        elsewhere_milliseconds=4.0,
        bytes_per_request=8.0,
        instances=None,
    )
    assert found["prepare"].here_milliseconds == 5.0
    assert found["prepare"].elsewhere_milliseconds is None


@pytest.mark.parametrize(
    ("shown", "rows"),
    [
        pytest.param(None, ROWS, id="no window ended"),
        pytest.param(window(requests=9), ROWS, id="too few executions"),
        pytest.param(window(), (), id="rows unknown"),
    ],
)
def test_what_no_window_told_is_unknown(shown, rows):
    assert steps_of(shown=shown, rows=rows)["detect"].here_milliseconds is None


def remembering(here_ms):
    subject = pipeline("Auto")
    told = factories.execution(
        steps=(MeasuredStep(name="detect", here_milliseconds=here_ms, bytes_per_request=8.0),)
    )
    return subject.with_(status=subject.status.with_(execution=told, steps=ROWS))


@pytest.mark.parametrize(
    ("shown_ms", "expected"),
    [pytest.param(31.0, 30.0, id="noise"), pytest.param(50.0, 50.0, id="clearly another")],
)
def test_what_was_measured_changes_only_where_it_is_clearly_another(shown_ms, expected):
    found = steps_of(remembering(30.0), window(detect=shown_ms))
    assert found["detect"].here_milliseconds == expected


def test_workers_are_remembered_of_steps_that_run_here():
    subject = remembering(30.0)
    applied = balancing(assignment(detect=3))
    subject = subject.with_(status=subject.status.with_(balancing=applied))
    assert steps_of(subject)["detect"].instances == 3
    told = subject.status.execution.with_(
        cut=CutStatus(steps=("detect",), state="Kept", since=factories.at())
    )
    gone = subject.with_(status=subject.status.with_(execution=told))
    assert steps_of(gone)["detect"].instances is None


def test_what_a_proxy_takes_is_not_what_the_step_takes_here():
    config = {**TENSORS, "parameters": {"FERRYMAN_STEP_HOST": {"string_value": "there"}}}
    step = loaded("detect", 1, configs={"hash": config})
    for shown in ({"detect": step}, {"detect": loaded("detect", 1)}, {}):
        found = steps_of(remembering(30.0), window(detect=0.1), steps=shown)
        assert found["detect"].here_milliseconds == 30.0


def test_tensors_that_nobody_stated_are_read_from_pods():
    model = detector({})
    step = loaded("detect", 1, configs={"hash": {**TENSORS, "name": "detect"}})
    found = steps_of(rows=ROWS, model=model, steps={"detect": step})
    assert found["detect"].bytes_per_request == 8.0
    bare = steps_of(rows=ROWS, model=model, steps={})
    assert bare["detect"].bytes_per_request is None


def test_a_model_that_is_gone_tells_nothing():
    subject = pipeline("Auto")
    subject = subject.with_(status=subject.status.with_(steps=ROWS))
    found = {each.name: each for each in measured(seen(subject).with_(models={}), None)}
    assert found["detect"] == MeasuredStep(name="detect")
