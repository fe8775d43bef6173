"""Where a model is cut: the places, how long what lies between them takes, the best of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from ferryman.cli.errors import InputError
from ferryman.cli.onnx import probing
from ferryman.cli.onnx.probing import Probe
from ferryman.cli.onnx.samples import Samples
from ferryman.clients.onnx import graph, runtime
from ferryman.clients.onnx.graph import Source
from ferryman.clients.onnx.runtime import Program
from ferryman.core.splitting import dataflow, partition
from ferryman.core.splitting.dataflow import Cut, Dataflow, Operation
from ferryman.core.splitting.partition import Division
from ferryman.core.splitting.segments import Segment, segment

#: Of times that a few runs show: a step that is slower by less counts as fast.
NOISE: Final = 0.02
#: A cut that more tensors cross is none, unless more are asked for.
MOST_TENSORS: Final = 8


@dataclass(frozen=True)
class Subject:
    """A model that is to be cut, and how it is run meanwhile."""

    source: Source
    samples: Samples
    folder: Path
    """For what is needed only now."""
    threads: int

    @property
    def flow(self) -> Dataflow:
        """Its operations."""
        operations = (
            Operation(node.index, node.reads, node.writes, node.random)
            for node in graph.nodes(self.source)
        )
        return Dataflow(self.source.inputs, self.source.outputs, tuple(operations))

    def write(self, part: Segment, probe: Probe, path: Path) -> None:
        """Write a stretch of it as a model."""
        tensors = {name: each.part_tensor for name, each in probe.tensors.items()}
        model = graph.part(
            self.source,
            [operation.index for operation in part.operations],
            [tensors[name] for name in (*part.inputs, *part.received)],
            [tensors[name] for name in part.outputs],
        )
        graph.save(model, path)


@dataclass(frozen=True)
class Places:
    """Where a model can be cut."""

    flow: Dataflow
    order: tuple[Operation, ...]
    cuts: tuple[Cut, ...]
    probe: Probe

    @property
    def positions(self) -> tuple[int, ...]:
        """All places, begin and end among them."""
        return (0, *(cut.position for cut in self.cuts), len(self.order))

    def segments(self, ends: tuple[int, ...]) -> tuple[Segment, ...]:
        """Return the stretches between some places, the begin first."""
        places = [self.positions[end] for end in (0, *ends)]
        return tuple(segment(self.flow, self.order, a, b) for a, b in pairwise(places))


def places(subject: Subject, parts: int, most_tensors: int | None) -> Places:
    """Find the places where a model can be cut into so many parts, crossed by few tensors.

    Without ``most_tensors`` as few are allowed as there must be. Raises InputError, which says into
    how many parts it can be cut, and ModelRefused.
    """
    flow = subject.flow
    _expect_made(flow)
    orders = list(dataflow.orders(flow))
    best: Places | None = None
    for most in range(1, MOST_TENSORS + 1) if most_tensors is None else (most_tensors,):
        candidates = [(order, dataflow.cuts(order, most)) for order in orders]
        # Without more places than before there is nothing new to run the model for.
        if best is not None and max(len(cuts) for _, cuts in candidates) <= len(best.cuts):
            continue
        found = _seen(subject, flow, candidates)
        if best is None or len(found.cuts) > len(best.cuts):
            best = found
        if len(best.cuts) + 1 >= parts:
            return best
    most_parts = 1 if best is None else len(best.cuts) + 1
    crossed = f"at most {most_tensors or MOST_TENSORS} tensors"
    more = "" if most_tensors is None else "; with a larger --tensors there may be more"
    raise InputError(
        f"{subject.source.path}: it can be cut into {most_parts} parts at most, at places that "
        f"{crossed} cross: use --parts {most_parts} or fewer{more}"
        if most_parts > 1
        else f"{subject.source.path}: it cannot be cut: no place is crossed by {crossed} that a "
        f"server can carry{more}"
    )


def choose(
    subject: Subject,
    found: Places,
    parts: int,
    *,
    rounds: int,
    bytes_per_ms: float | None,
) -> Division:
    """Time what lies between the places, and choose among them."""
    sizes_bytes = {name: float(each.size_bytes) for name, each in found.probe.tensors.items()}
    return partition.divide(
        list(_times_ms(subject, found, rounds)),
        partition.received(found.order, found.positions, sizes_bytes),
        parts,
        bytes_per_ms=bytes_per_ms,
        tolerance=NOISE,
    )


def _expect_made(flow: Dataflow) -> None:
    for name in flow.outputs:
        if name in flow.inputs:
            raise InputError(f"the output {name} is an input as it is: leave it out of the model")


def _expect_carried(subject: Subject, probe: Probe) -> None:
    for name in (*subject.source.inputs, *subject.source.outputs):
        if not probe.tensors[name].can_be_carried(batched=probe.batched):
            raise InputError(
                f"{subject.source.path}: no server carries {name} as it is: a tensor needs "
                "dimensions, none of them 0, a name without spaces, and a type of the KServe v2 "
                "protocol"
            )


def _seen(
    subject: Subject,
    flow: Dataflow,
    candidates: list[tuple[tuple[Operation, ...], tuple[Cut, ...]]],
) -> Places:
    """Run the model, and return the order with the most places whose tensors can be carried."""
    names = {name for _, cuts in candidates for cut in cuts for name in cut.crossing}
    probe = probing.observe(
        subject.source, sorted(names), subject.samples, subject.folder, subject.threads
    )

    _expect_carried(subject, probe)

    def carried(cut: Cut) -> bool:
        return all(probe.tensors[n].can_be_carried(batched=probe.batched) for n in cut.crossing)

    options = (
        Places(flow, order, tuple(filter(carried, cuts)), probe) for order, cuts in candidates
    )
    return max(options, key=lambda option: len(option.cuts))


def _times_ms(subject: Subject, found: Places, rounds: int) -> Iterator[float]:
    """Yield the least time of each stretch between two places next to each other.

    What else a machine does only adds to a time. They take turns, so that none is always disturbed.
    """
    runs = []
    stretches = found.segments(tuple(range(1, len(found.positions))))
    for number, part in enumerate(stretches):
        path = subject.folder / f"stretch-{number}.onnx"
        subject.write(part, found.probe, path)
        inputs = {name: found.probe.values(name) for name in (*part.inputs, *part.received)}
        runs.append(partial(Program(path, threads=subject.threads).run, inputs))
    yield from map(min, runtime.interleaved(runs, rounds))
