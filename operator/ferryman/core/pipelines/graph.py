"""The graph of a pipeline: which step reads whose tensors, and what follows from that."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from typing import NamedTuple, Self

from ferryman.api.pipelines import wires
from ferryman.api.pipelines.inference_pipeline import InferencePipelineSpec
from ferryman.api.pipelines.wires import Source


class Reader(NamedTuple):
    """Who reads a tensor: an input of a step, or an output of the pipeline."""

    step: str | None
    """The step; None: it is an output of the pipeline."""
    tensor: str
    """The step's input, or the output's name."""

    def __str__(self) -> str:
        """Return it in words."""
        if self.step is None:
            return f"output {self.tensor} of the pipeline"
        return f"input {self.tensor} of step {self.step}"


@dataclass(frozen=True)
class GraphStep:
    """A step and what each input of its model reads."""

    name: str
    reads: Mapping[str, Source]


@dataclass(frozen=True)
class Graph:
    """Steps in the order in which they are stated. It may be faulty: see ``validation``."""

    inputs: tuple[str, ...]
    """What clients send."""
    steps: tuple[GraphStep, ...]
    outputs: Mapping[str, Source] = field(default_factory=dict)
    """What clients receive, and which step makes it."""

    @classmethod
    def of(cls, spec: InferencePipelineSpec) -> Self:
        """Return the graph that a specification states."""
        return cls(
            inputs=tuple(entry.name for entry in spec.inputs),
            steps=tuple(
                GraphStep(step.name, {key: wires.parse(w) for key, w in step.input_map.items()})
                for step in spec.steps
            ),
            outputs={entry.name: wires.parse(entry.source) for entry in spec.outputs},
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The steps, as they are stated."""
        return tuple(step.name for step in self.steps)

    @cached_property
    def after(self) -> Mapping[str, tuple[str, ...]]:
        """The steps that each step reads, once each; what is no step is left out."""
        known = set(self.names)
        return {
            step.name: tuple(
                dict.fromkeys(each.step for each in step.reads.values() if each.step in known)
            )
            for step in self.steps
        }

    @cached_property
    def cycle(self) -> tuple[str, ...]:
        """Steps that wait for each other, each read by the one behind it; empty without any.

        It begins with the one that is stated first.
        """
        try:
            TopologicalSorter(self.after).prepare()
        except CycleError as error:
            found = error.args[1][:-1]  # graphlib repeats the first one at the end
            begin = found.index(min(found, key=self.names.index))
            return (*found[begin:], *found[:begin])
        return ()

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The steps, each behind all that it reads, otherwise as stated.

        Raises ValueError for a graph with a cycle.
        """
        if self.cycle:
            raise ValueError(f"these steps wait for each other: {', '.join(self.cycle)}")
        placed: dict[str, None] = {}
        while len(placed) < len(self.after):
            placed |= dict.fromkeys(
                next(
                    [name]
                    for name in self.names
                    if name not in placed and all(each in placed for each in self.after[name])
                )
            )
        return tuple(placed)

    @cached_property
    def ancestors(self) -> Mapping[str, frozenset[str]]:
        """All steps that must have run before each step; raises ValueError as ``order`` does."""
        found: dict[str, frozenset[str]] = {}
        for name in self.order:
            direct = self.after[name]
            found[name] = frozenset(direct).union(*(found[each] for each in direct))
        return found

    @cached_property
    def concurrent(self) -> frozenset[frozenset[str]]:
        """Pairs of steps that may run at the same time for one request: neither awaits the other.

        Raises ValueError as ``order`` does.
        """
        before = self.ancestors
        return frozenset(
            frozenset((one, other))
            for one, other in combinations(self.order, 2)
            if one not in before[other]
        )

    @property
    def forked(self) -> bool:
        """Whether any two steps may run at the same time for one request."""
        return bool(self.concurrent)

    @cached_property
    def readers(self) -> Mapping[Source, tuple[Reader, ...]]:
        """Who reads each tensor that anybody reads."""
        found: dict[Source, list[Reader]] = {}
        for reader, source in self.wires():
            found.setdefault(source, []).append(reader)
        return {source: tuple(readers) for source, readers in found.items()}

    def wires(self) -> Iterator[tuple[Reader, Source]]:
        """Yield every wire: of the steps as they are stated, then of the outputs."""
        for step in self.steps:
            for tensor, source in step.reads.items():
                yield Reader(step.name, tensor), source
        for name, source in self.outputs.items():
            yield Reader(None, name), source

    def is_read(self, step: str) -> bool:
        """Say whether anybody reads an output of the step."""
        return any(source.step == step for source in self.readers)

    def longest(self, seconds: Mapping[str, float]) -> float:
        """Return how long the slowest way through the graph takes, by what each step takes.

        It is what a request takes when nothing else runs, since steps that do not depend on each
        other run at the same time. Raises ValueError as ``order`` does.
        """
        done: dict[str, float] = {}
        for name in self.order:
            done[name] = seconds[name] + max((done[each] for each in self.after[name]), default=0.0)
        return max(done.values(), default=0.0)


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence lists them."""
    *first, last = list(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last
