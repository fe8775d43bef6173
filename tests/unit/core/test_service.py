"""What is to serve, where placement and runtime contradict one another."""

import pytest

from ferryman.api.batching import Batching, BatchingSpec, MaxQueueDelayLimits
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    BatchingStatus,
    DrainStatus,
    InferenceModelStatus,
    PlacementStatus,
)
from ferryman.api.inference_runtime import RuntimeDrain, RuntimeLiveCap
from ferryman.core.render import Environment
from ferryman.core.service import Inputs, serve
from ferryman.core.snapshot import ServingState
from ferryman.core.status.observed import Observation
from ferryman.core.tuners.select import TunerState
from tests import factories

CPU = PlacementStatus(node_type="cpu-small", processor="cpu", reason="X", message="x")


def inputs(snapshot, placement=CPU):
    return Inputs(
        snapshot=snapshot,
        window=None,
        state=TunerState(),
        now=factories.NOW,
        encode=repr,
        control_key="secret",
        environment=Environment("ferryman-system"),
        placement=placement,
        observation=Observation(None, None, steady=True),
    )


def test_a_placement_on_a_class_that_the_runtime_lost_is_rejected():
    gone = PlacementStatus(node_type="npu-box", processor="npu", reason="X", message="x")
    service = serve(inputs(factories.snapshot(), gone))
    assert service.objects == ()
    assert service.rejection is not None
    assert service.rejection.reason == Reason.PROCESSOR_NOT_IN_RUNTIME
    assert str(service.rejection) == "runtime triton has no processor class npu: add it"


def test_the_status_says_whether_clients_leave_pods_that_end():
    drain = RuntimeDrain(library="/drain.so", grpc_connection_age_seconds=10)
    entry = factories.runtime_processor(drain=drain)
    found = serve(
        inputs(factories.snapshot(runtime=factories.runtime(processors=[entry]), nodes=[]))
    )
    assert found.drain is not None
    assert (found.drain.http, found.drain.grpc, found.drain.reason) == (True, True, Reason.DRAINS)


def test_what_was_said_of_the_end_of_pods_stands_while_nothing_can_be_decided():
    said = DrainStatus(http=True, grpc=False, reason=Reason.DRAINS_IN_PART, message="as before")
    model = factories.model(status=InferenceModelStatus(drain=said))
    gone = PlacementStatus(node_type="npu-box", processor="npu", reason="X", message="x")
    assert serve(inputs(factories.snapshot(model=model), gone)).drain == said
    assert serve(inputs(factories.snapshot(model=model, has_runtime=False))).drain == said


LIBRARY = RuntimeLiveCap(library="/lib.so")
EIGHT = Batching(max_batch_size=8)
WAITING = EIGHT.with_(max_queue_delay_microseconds=500)


def served(batching=None, *, applied=EIGHT, source=LIBRARY, pods=(), **said):
    """Serve a model on a runtime with a live cap; return the service and its ConfigMap."""
    status = InferenceModelStatus(batching=BatchingStatus(applied=applied, last_good=applied))
    model = factories.model(batching=batching or BatchingSpec(algorithm="Trend"), status=status)
    entry = factories.runtime_processor(live_cap=source)
    serving = ServingState(pods=pods, model_ready=bool(pods), **said)
    found = serve(
        inputs(
            factories.snapshot(
                model=model, runtime=factories.runtime(processors=[entry]), serving=serving
            )
        )
    )
    by_kind = {o["kind"]: o for o in found.objects}
    return found, by_kind


def test_the_config_map_starts_pods_with_the_live_cap_where_it_is_applied():
    found, objects = served()
    config = objects["ConfigMap"]["data"]["config.pbtxt"]
    assert "'max_batch_size': 64" in config
    assert "'FERRYMAN_LIVE_CAP_START': {'string_value': '8'}" in config
    assert found.batching.live_cap.available


def test_a_runtime_without_a_live_cap_is_served_as_ever():
    found, objects = served(source=None)
    assert "'max_batch_size': 8" in objects["ConfigMap"]["data"]["config.pbtxt"]
    assert "live-cap" not in repr(objects["Deployment"])
    assert found.batching.live_cap is None


FIXED = BatchingSpec(mode="Fixed", initial=EIGHT)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"batching": FIXED}, Reason.MODE_FIXED, id="mode Fixed"),
        pytest.param({"applied": WAITING}, Reason.QUEUE_DELAY, id="a queue delay"),
    ],
)
def test_where_the_live_cap_is_not_used_pods_are_still_made_for_it(fields, reason):
    found, objects = served(**fields)
    assert "'max_batch_size': 8" in objects["ConfigMap"]["data"]["config.pbtxt"]
    assert "FERRYMAN_LIVE_CAP" not in objects["ConfigMap"]["data"]["config.pbtxt"]
    assert found.batching.live_cap.reason == reason
    _, using = served()
    assert objects["Deployment"] == using["Deployment"], "so that no pod rolls"


def test_a_delay_is_no_hindrance_where_an_input_has_a_variable_dimension():
    found, objects = served(applied=WAITING, pods=(factories.pod(),), variable_inputs=True)
    assert "FERRYMAN_LIVE_CAP_START" in objects["ConfigMap"]["data"]["config.pbtxt"]
    assert found.batching.live_cap.available


def test_pods_roll_neither_with_the_limits_nor_with_the_start():
    _, before = served()
    spec = BatchingSpec(algorithm="Trend")
    size = spec.limits.max_batch_size.with_(max=128)
    _, after = served(spec.with_(limits=spec.limits.with_(max_batch_size=size)))
    assert "'max_batch_size': 128" in after["ConfigMap"]["data"]["config.pbtxt"]
    assert after["Deployment"] == before["Deployment"]


@pytest.mark.parametrize(
    ("before", "delay_us", "uses"),
    [
        pytest.param(WAITING, 0, True, id="without a delay again: with the live cap"),
        pytest.param(EIGHT, 500, False, id="with a delay: without it"),
    ],
)
def test_a_reload_loads_what_pods_to_come_start_from(before, delay_us, uses):
    delay = MaxQueueDelayLimits(min=delay_us, max=delay_us)
    limits = BatchingSpec().limits.with_(max_queue_delay_microseconds=delay)
    spec = BatchingSpec(algorithm="Trend", limits=limits)
    pods = (factories.pod(batching=before, takes_live_cap=True),)
    actuation = served(spec, applied=before, pods=pods)[0].actuation
    assert actuation is not None
    assert (actuation.actuator, actuation.config_has_live_cap) == ("Reload", uses)
    assert ("FERRYMAN_LIVE_CAP_START" in actuation.config_pbtxt) == uses


@pytest.mark.parametrize(
    ("made_for", "brings_all"),
    [
        pytest.param(None, True, id="it is not known what the pod was made for"),
        pytest.param("this", True, id="it was made for the configuration of pods to come"),
        pytest.param("another", False, id="it was made for another one"),
    ],
)
def test_a_change_brings_the_whole_configuration_only_to_pods_that_can_load_it(
    made_for, brings_all
):
    ten = Batching(max_batch_size=10)
    asked = factories.model(batching=BatchingSpec(mode="Fixed", initial=ten))

    def service(config_hash):
        pod = factories.pod(config_hash=config_hash)
        serving = ServingState(exists=True, ready_replicas=1, model_ready=True, pods=(pod,))
        return serve(inputs(factories.snapshot(model=asked, serving=serving)))

    template = service("").objects[-1]["spec"]["template"]["metadata"]
    this = template["annotations"]["serving.ferryman.dev/config-hash"]
    known = {None: "", "this": this, "another": "another"}[made_for]
    actuation = service(known).actuation
    assert actuation.after == ten
    assert bool(actuation.config_pbtxt) == brings_all
