"""What a tuner's knowledge is of: a model's file on a node type. It holds for no other file.

Another file, or another format, begins anew: neither how long its batches take nor which of them
fit into memory is known of it. The same file on another type of node is begun with what pods on
that type showed (``status.serviceTimes``), or, where none ever ran there, with the curve as it is:
a prior that a few batches outweigh. That batches were too large stays known.
"""

from dataclasses import replace

from ferryman.api.inference_model_status import PlacementStatus, ServiceTimes
from ferryman.api.model_source import ModelSource
from ferryman.core.batching import measured_times
from ferryman.core.tuners.learned import service_time
from ferryman.core.tuners.learned.service_time import HALF_BELIEVED, ServiceTimePoint
from ferryman.core.tuners.state import Learned, Subject, TunerState


def subject(source: ModelSource, placement: PlacementStatus) -> Subject:
    """Return what is served, and where."""
    return Subject(
        storage_uri=source.storage_uri,
        model_format=source.model_format.name,
        node_type=placement.node_type or "",
        processor=placement.processor or "",
    )


def about(
    state: TunerState, served: Subject, measured: tuple[ServiceTimes, ...], instances: int
) -> TunerState:
    """Return the state as far as it is about what is served now; ``measured`` is by node type."""
    known = state.subject
    if known == served:
        return state
    if known is not None and not known.same_file(served):
        return TunerState(subject=served)
    learned = state.learned
    service = _measured(served, measured, instances)
    if known is not None:
        # The trial and what failed were of another processor.
        learned = replace(Learned(), **{name: getattr(learned, name) for name in _OF_THE_FILE})
        service = service or state.learned.service.as_prior()
    elif service is None or learned.service.points:
        service = learned.service
    return replace(state, subject=served, learned=replace(learned, service=service))


#: What outlasts a move: what clients ask for, and that batches did not fit.
_OF_THE_FILE = ("demand", "safe_bound", "suspected", "failing")


def _measured(
    served: Subject, measured: tuple[ServiceTimes, ...], instances: int
) -> service_time.ServiceTimes | None:
    """Return what was measured on the type of node; new batches soon outweigh it."""
    found = measured_times.of_place(measured, served.node_type, served.processor)
    if found is None or not found.points:
        return None
    points = {
        point.batch_size: ServiceTimePoint(HALF_BELIEVED, point.milliseconds)
        for point in found.points
    }
    return service_time.ServiceTimes({instances: points})
