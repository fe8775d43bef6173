"""Knowledge is of a file on a node type, and is used for nothing else."""

from dataclasses import replace

import pytest

from ferryman.api.inference_model_status import PlacementStatus, ServiceTimePoint, ServiceTimes
from ferryman.api.model_source import ModelFormat, ModelSource
from ferryman.core.batching.subject import about, subject
from ferryman.core.tuners.learned import service_time
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.state import Learned, TunerState
from tests import factories

HERE = subject(
    ModelSource(storage_uri="oci://image@sha256:1", model_format=ModelFormat(name="onnx")),
    PlacementStatus(node_type="a", processor="gpu", reason="Chosen", message="m"),
)
OTHER_TYPE = replace(HERE, node_type="b")
CURVE = service_time.ServiceTimes().with_window(1, {1: (100, 5.0), 8: (100, 9.0)})
LEARNED = Learned(service=CURVE, demand=Demand(((1.0, 50.0),)), safe_bound=8, missed_at_s=7.0)
KNOWN = TunerState(learned=LEARNED, subject=HERE)


def measured(node_type="a", times=((1, 4.0), (16, 12.0))):
    points = tuple(ServiceTimePoint(batch_size=n, milliseconds=ms) for n, ms in times)
    return ServiceTimes(
        node_type=node_type, processor="gpu", measured_at=factories.at(), points=points
    )


def test_of_the_same_file_in_the_same_place_everything_stays():
    assert about(KNOWN, HERE, (measured(),), 1) is KNOWN


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"storage_uri": "oci://image@sha256:2"}, id="another digest"),
        pytest.param({"storage_uri": "pvc://claim/path"}, id="another address"),
        pytest.param({"model_format": "pytorch"}, id="another format"),
    ],
)
def test_another_file_begins_anew_and_its_batches_are_not_held_to_what_failed_before(changed):
    other = replace(HERE, **changed)
    assert about(KNOWN, other, (measured(),), 1) == TunerState(subject=other)


def test_on_a_type_that_it_ran_on_before_it_begins_with_what_was_seen_there():
    moved = about(KNOWN, OTHER_TYPE, (measured(), measured("b")), 2).learned
    assert moved.service.curve_ms(2, 16)[0] == pytest.approx(4.0, rel=0.05)
    assert moved.service.sizes == {1, 16}
    assert (moved.demand, moved.safe_bound, moved.missed_at_s) == (LEARNED.demand, 8, None)


def test_on_a_type_that_it_never_ran_on_the_curve_is_a_prior_that_a_few_batches_outweigh():
    moved = about(KNOWN, OTHER_TYPE, (measured(),), 1).learned.service
    assert moved.curve_ms(1, 8) == pytest.approx(CURVE.curve_ms(1, 8))
    slower = moved.with_window(1, {1: (100, 10.0), 8: (100, 18.0)})
    assert slower.curve_ms(1, 8)[7] == pytest.approx(18.0, rel=0.05)


def test_an_operator_that_has_just_started_begins_with_what_the_status_tells():
    begun = about(TunerState(), HERE, (measured("b"), measured()), 1)
    assert begun.subject == HERE
    assert begun.learned.service.sizes == {1, 16}
    assert about(TunerState(), HERE, (), 1) == TunerState(subject=HERE)


def test_but_what_was_learned_without_it_is_not_replaced():
    assert about(TunerState(learned=LEARNED), HERE, (measured(),), 1).learned == LEARNED
