"""The joint placement problem: every model on one of its node types, at the least cost.

An *option* is a model on a node type: how many replicas it takes there, what each of them uses
and what all of them cost. Resources are named amounts (``cpu`` in cores, ``memory`` in bytes,
device resources by number, ``time`` of a processor class in processors); the problem does not
care what they are. A replica needs all that it uses on a single node, and on a single one of
processors that a node has several of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Amounts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """Processors that a node has several of: a replica is served by one of them."""

    count: int
    resources: tuple[str, ...]
    """What each of them has an equal part of. No option uses resources of two parts."""


@dataclass(frozen=True, slots=True)
class NodePool:
    """Nodes with the same hardware, and what is free on each of them."""

    name: str
    free: tuple[Amounts, ...]
    """By node. Resources that are not named are not there."""
    parts: tuple[Part, ...] = ()

    def divided(self, resource: str) -> Part | None:
        """Return the processors that each have an equal part of a resource."""
        return next((part for part in self.parts if resource in part.resources), None)

    def part_of(self, option: "Option") -> Part | None:
        """Return the processors of which each replica of an option needs one."""
        used = {name for name, amount in option.uses.items() if amount > 0}
        return next((part for part in self.parts if used & {*part.resources}), None)


@dataclass(frozen=True, slots=True)
class Option:
    """A model on a node type."""

    node_type: str
    processor: str
    replicas: int
    uses: Amounts
    """By one replica."""
    cost: float
    """Of all replicas: finite, not negative."""


@dataclass(frozen=True, slots=True)
class ModelDemand:
    """A model that is to be placed."""

    model: str
    options: tuple[Option, ...]
    present: tuple[str, str] | None = None
    """The node type and processor class that serve it now."""
    move_factor: float = 1.0
    """What an option that moves it counts, in multiples of its cost."""

    def moves(self, option: Option) -> bool:
        """Whether the option is elsewhere than what serves now."""
        return self.present not in {None, (option.node_type, option.processor)}

    def cost(self, option: Option) -> float:
        """Return what an option counts, with the move to it."""
        return option.cost * (self.move_factor if self.moves(option) else 1.0)


@dataclass(frozen=True, slots=True)
class PlacementProblem:
    """Which models are to be placed on which nodes."""

    node_types: tuple[NodePool, ...]
    demands: tuple[ModelDemand, ...]
    max_moves: int | None = None
    """No more models than this are moved; None: any number."""


class SolutionQuality(StrEnum):
    """What a solution is."""

    OPTIMAL = "Optimal"
    """Every model is placed, and no placement of all of them costs less than 0.1 % less."""
    FEASIBLE = "Feasible"
    """Every model is placed."""
    INFEASIBLE = "Infeasible"
    """It is proved that not all models can be placed."""
    UNKNOWN = "Unknown"
    """Not all models could be placed, and it is not proved that they cannot be."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a model goes."""

    option: Option
    nodes: tuple[int, ...]
    """For each replica the node, by its index in ``NodePool.free``."""
    devices: tuple[int, ...] = ()
    """For each replica the processor among those of its part; empty without a part."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A placement: never over the capacity of a node or a processor, whatever the outcome."""

    outcome: SolutionQuality
    placed: Mapping[str, Placed]
    """By model."""
    cost: float
    """Of what is placed, with moves."""
    bound: float
    """No placement of all models costs less; infinite where there is none."""
    message: str
    unplaced: Mapping[str, str] = field(default_factory=dict)
    """By model, why."""

    @property
    def gap(self) -> float:
        """By what share the cost may lie above the least possible one."""
        return max(0.0, self.cost / self.bound - 1) if self.bound > 0 else 0.0
