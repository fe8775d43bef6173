"""One server or several: the ways of a pipeline, compared by what was measured."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.execution_status import CallStatus, MeasuredStep
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.pipelines.cutting.calls import crossing_of
from ferryman.core.pipelines.execution import ExecutionChoice, Mode, choose
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.splits import Crossing, Home, ServerPlace, ServerSplit, StepNeeds

#: A cut is clearly worth it from such a share of what a request takes on one server on, and from
#: so much time: what the proxy itself takes is in no measurement before there is one.
CLEAR_SHARE: Final = 0.2
CLEAR_S: Final = 0.002


@dataclass(frozen=True)
class Comparison:
    """One home, and what was measured of the steps there and at the models that serve them."""

    graph: Graph
    needs: Mapping[str, StepNeeds]
    home: ServerPlace
    away: tuple[ServerPlace, ...]
    crossing: Crossing | None
    mode: Mode

    @cached_property
    def choice(self) -> ExecutionChoice:
        """What the figures say, whatever was decided before."""
        return choose(
            self.graph, self.needs, [self.home], self.crossing, self.mode, elsewhere=self.away
        )

    def split(self, cut: Collection[str]) -> ServerSplit:
        """Return one of the ways."""
        return Home(self.graph, self.needs, self.home, self.away, self.crossing).split(cut)

    @property
    def whole_s(self) -> float | None:
        """How long a request takes on one server; None: unknown, or none holds all steps."""
        if any(self.home.name not in each.seconds for each in self.needs.values()):
            return None
        return self.split(()).latency_s

    def gain_s(self, cut: Collection[str]) -> float | None:
        """Return by how much a request is faster with these steps cut off; None: unknown."""
        whole_s, parted_s = self.whole_s, self.split(cut).latency_s
        return None if whole_s is None or parted_s is None else whole_s - parted_s

    @property
    def clear_gain(self) -> tuple[str, ...]:
        """The steps whose cut makes a request clearly faster, as stated; none where none does."""
        best, whole_s = self.choice.chosen, self.whole_s
        if best is None or best.latency_s is None or whole_s is None:
            return ()
        if not best.cut or whole_s - best.latency_s < max(CLEAR_S, CLEAR_SHARE * whole_s):
            return ()
        return tuple(name for name in self.graph.names if name in best.cut)


def place_of(model: InferenceModel) -> ServerPlace:
    """Return where the servers of an InferenceModel are, as ways are told."""
    return ServerPlace(f"InferenceModel {model.metadata.name}")


def compared(
    pipeline: InferencePipeline,
    home: str,
    away: Mapping[str, InferenceModel],
    *,
    steps: Sequence[MeasuredStep],
    call: CallStatus | None,
    forced: Collection[str] = (),
) -> Comparison:
    """Return the comparison of the ways with this home.

    ``away`` are the steps that may be cut off, and who serves them then; ``forced`` those of them
    that must be.
    """
    places = {name: place_of(model) for name, model in away.items()}
    known = {each.name: each for each in steps}
    needs = {}
    for step in pipeline.spec.steps:
        found = known.get(step.name, MeasuredStep(name=step.name))
        seconds = {} if step.name in forced else {home: _seconds(found.here_milliseconds)}
        if step.name in places:
            seconds[places[step.name].name] = _seconds(found.elsewhere_milliseconds)
        needs[step.name] = StepNeeds(seconds, traffic_bytes=found.bytes_per_request)
    return Comparison(
        graph=Graph.of(pipeline.spec),
        needs=needs,
        home=ServerPlace(home),
        away=tuple(dict.fromkeys(places.values())),
        crossing=crossing_of(call),
        mode=pipeline.spec.execution.mode if away else "Ensemble",
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3
