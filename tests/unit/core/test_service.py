"""What is to serve, where placement and runtime contradict one another."""

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.core.observation import Observation
from ferryman.core.service import Inputs, serve
from ferryman.core.tuner import TunerState
from tests import factories


def test_a_placement_on_a_class_that_the_runtime_lost_is_rejected():
    gone = PlacementStatus(node_type="npu-box", processor="npu", reason="X", message="x")
    service = serve(
        Inputs(
            snapshot=factories.snapshot(),
            window=None,
            state=TunerState(),
            now=factories.NOW,
            encode=repr,
            control_key="secret",
            operator_namespace="ferryman-system",
            placement=gone,
            observation=Observation(None, None, steady=True),
        )
    )
    assert service.objects == ()
    assert service.rejection is not None
    assert service.rejection.reason == Reason.PROCESSOR_NOT_IN_RUNTIME
    assert str(service.rejection) == "runtime triton has no processor class npu: add it"
