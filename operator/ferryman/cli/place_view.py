"""What ``ferryman place`` shows: where each model goes, what is left, and what is not placed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from ferryman.api.inference_model import Policy
from ferryman.cli.tables import Column, Listing
from ferryman.cli.terminal import console
from ferryman.core.fleet.fleet import Fleet
from ferryman.core.fleet.options import Offers, in_words
from ferryman.core.fleet.problem import Amounts, Placed, Solution
from ferryman.core.placement.policies import MEASURES

_DECIMALS: Final = 6


@dataclass(frozen=True)
class Answer:
    """A fleet, and what became of it."""

    fleet: Fleet
    policy: Policy
    offers: Offers
    solution: Solution
    left: Mapping[str, Sequence[Amounts]]
    """By node type, what each node has left."""

    @property
    def unit(self) -> str:
        """What costs are in."""
        return MEASURES[self.policy].unit

    @property
    def gap(self) -> float | None:
        """How far above the least possible cost it may be; None unless all models are placed."""
        known = not self.solution.unplaced and self.solution.bound > 0
        return self.solution.gap if known else None

    @property
    def cost(self) -> float:
        """Of what is placed; the solution's own counts more for what moves."""
        return sum(placed.option.cost for placed in self.solution.placed.values())

    def moves(self) -> Mapping[str, bool]:
        """Say of each placed model whether it is served elsewhere now."""
        placed = self.solution.placed
        demands = self.offers.problem.demands
        return {d.model: d.moves(placed[d.model].option) for d in demands if d.model in placed}


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer as JSON values; what is not known or infinite is null."""
    solution, moves = answer.solution, answer.moves()
    return {
        "policy": answer.policy,
        "outcome": str(solution.outcome),
        "message": solution.message,
        "cost": _rounded(answer.cost),
        "countedCost": _rounded(solution.cost),
        "bound": _rounded(solution.bound) if isfinite(solution.bound) else None,
        "gap": None if answer.gap is None else _rounded(answer.gap),
        "models": [_model(answer, model.name, moves) for model in answer.fleet.models],
        "nodeTypes": [
            {
                "name": kind.name,
                "count": kind.count,
                "nodesUsed": _used(answer, kind.name),
                "free": [
                    {name: _rounded(amount) for name, amount in node.items()}
                    for node in answer.left[kind.name]
                ],
            }
            for kind in answer.fleet.node_types
        ],
    }


def _model(answer: Answer, name: str, moves: Mapping[str, bool]) -> dict[str, Any]:
    refused = [
        {
            "nodeType": each.node_type,
            "class": each.processor,
            "reason": str(each.reason),
            "message": each.message,
        }
        for each in answer.offers.refused[name]
    ]
    placed = answer.solution.placed.get(name)
    if placed is None:
        why = answer.solution.unplaced[name]
        return {"name": name, "placed": False, "message": why, "refused": refused}
    option = placed.option
    return {
        "name": name,
        "placed": True,
        "nodeType": option.node_type,
        "class": option.processor,
        "replicas": option.replicas,
        "nodes": list(placed.nodes),
        "devices": list(placed.devices) or [0] * option.replicas,
        "maxBatchSize": answer.offers.sizes[name][option.node_type, option.processor].batch_size,
        "processorShare": _rounded(_share(placed)),
        "cost": _rounded(option.cost),
        "moved": moves[name],
        "refused": refused,
    }


def show(answer: Answer) -> None:
    """Print the answer as tables, and what it amounts to in words."""
    screen = console()
    screen.print(_models(answer))
    screen.print(_node_types(answer))
    for line in _words(answer):
        # Names are any words: what looks like markup in one is none.
        screen.print(line, soft_wrap=True, markup=False)


def _words(answer: Answer) -> Iterator[str]:
    solution, unit = answer.solution, answer.unit
    for name, why in solution.unplaced.items():
        yield f"{name} is not placed: {why}"
        for each in answer.offers.refused[name]:
            yield f"  not on {each.node_type} ({each.processor}), {each.reason}: {each.message}"
    yield f"{solution.outcome}: {solution.message}"
    bound = f"at least {solution.bound:.3f}" if isfinite(solution.bound) else "cannot be had"
    moved = any(answer.moves().values())
    counted = f" (with moves counted: {solution.cost:.3f})" if moved else ""
    yield f"Cost {answer.cost:.3f} {unit}{counted}; all models together: {bound}"


def _models(answer: Answer) -> Listing:
    numbers = ("replicas", "batch", "share each", f"cost, {answer.unit}")
    columns = (
        *map(Column, ("model", "node type", "class")),
        *(Column(name, right=True) for name in numbers),
        Column(""),
    )
    table = Listing(columns)
    moves = answer.moves()
    for name, placed in answer.solution.placed.items():
        option = placed.option
        size = answer.offers.sizes[name][option.node_type, option.processor]
        cells = (
            *(name, option.node_type, option.processor, str(option.replicas)),
            *(str(size.batch_size), f"{_share(placed):.0%}", f"{option.cost:.3f}"),
            "moved" if moves[name] else "",
        )
        table.add(*cells)
    return table


def _node_types(answer: Answer) -> Listing:
    columns = (
        Column("node type"),
        Column("nodes", right=True),
        Column("used", right=True),
        Column("left on all of them", fold=24),
    )
    table = Listing(columns)
    for kind in answer.fleet.node_types:
        nodes = answer.left[kind.name]
        names = sorted({name for node in nodes for name in node})
        amounts = (in_words(name, sum(node[name] for node in nodes)) for name in names)
        used = str(_used(answer, kind.name))
        table.add(kind.name, str(kind.count), used, ", ".join(amounts))
    return table


def _used(answer: Answer, node_type: str) -> int:
    placed = answer.solution.placed.values()
    return len({n for each in placed if each.option.node_type == node_type for n in each.nodes})


def _share(placed: Placed) -> float:
    """Return the share of one processor's time that a replica is given."""
    return placed.option.uses[f"{placed.option.processor} time"]


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)
