"""A placement in the making: models are placed, moved and swapped until nothing is gained."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final

from ferryman.core.fleet.packing import Packing
from ferryman.core.fleet.problem import ModelDemand, Option, Placed, PlacementProblem

#: A local search ends after so many rounds over all models.
ROUNDS: Final = 8
#: So many models are tried to be put elsewhere to make room for one.
EJECTIONS: Final = 24
#: A draft tries to pack an option so often, and once for each model: about 0.1 ms each. It
#: knows no clock.
TRIES: Final = 12_000
#: So many reasons are listed of why a model is not placed.
LISTED: Final = 5
#: What is gained below this share of the cost is rounding.
WORTHWHILE: Final = 1e-9


class Draft:
    """What is placed so far; never over a node's capacity, nor over the number of moves."""

    def __init__(self, problem: PlacementProblem) -> None:
        self.placed: dict[int, Placed] = {}
        """By the model's index in ``PlacementProblem.demands``."""
        self._problem = problem
        self._packing = Packing(problem.node_types)
        self._there: dict[str, set[int]] = {}
        self._moves = 0
        self._tries = TRIES + len(problem.demands)
        self._ranked = [ranked(demand) for demand in problem.demands]

    @property
    def cost(self) -> float:
        """Of what is placed."""
        return sum(self._cost(model) for model in sorted(self.placed))

    @property
    def unplaced(self) -> list[int]:
        """The models that are not placed yet."""
        return [i for i in range(len(self._problem.demands)) if i not in self.placed]

    def follow(self, proposal: Mapping[int, Option]) -> None:
        """Place models where a proposal wants them, as far as they fit: the largest first."""
        order = sorted(proposal, key=lambda model: (-self._size(proposal[model]), model))
        for model in order:
            self._put(model, proposal[model])

    def adopt(self, placed: Mapping[int, Placed]) -> None:
        """Place models on the nodes that are named, as far as they fit."""
        for model, there in placed.items():
            demand = self._problem.demands[model]
            taken = self._packing.take(there) if self._may(demand, there.option) else None
            if taken is not None:
                self._enter(model, taken)

    def fill(self) -> None:
        """Place the others where it costs least, those first that would lose most elsewhere."""
        for model in sorted(self.unplaced, key=lambda i: (-self._regret(i), i)):
            if not self._put_cheapest(model):
                self._make_room(model)

    def improve(self) -> None:
        """Move models to cheaper options, also where another has to give way, while that pays."""
        for _ in range(ROUNDS):
            before = self.cost
            for model in sorted(self.placed, key=lambda i: (-self._loss(i), i)):
                self._better(model)
            if before - self.cost <= WORTHWHILE * before or self._tries <= 0:
                return

    def why_not(self, model: int) -> str:
        """Return why a model is not placed: what each of its node types lacks."""
        demand = self._problem.demands[model]
        may = [option for option in demand.options if self._may(demand, option)]
        if not may:
            return f"no more than {self._problem.max_moves} models are moved at once"
        return listed({f"{o.node_type} lacks {self._packing.lack(o)}" for o in may})

    def _better(self, model: int) -> None:
        for option, saving in self._savings(model):
            if self._tries <= 0:
                return
            present = self._take_out(model)
            if self._put(model, option) or self._eject(model, option, saving):
                return
            self._put_back(model, present)

    def _savings(self, model: int) -> list[tuple[Option, float]]:
        """Return the options that cost less than the present one, and how much less."""
        demand, cost = self._problem.demands[model], self._cost(model)
        savings = ((option, cost - demand.cost(option)) for option in self._ranked[model])
        return [(option, saving) for option, saving in savings if saving > WORTHWHILE * cost]

    def _make_room(self, model: int) -> None:
        for option in self._ranked[model]:
            if self._eject(model, option, inf):
                return

    def _eject(self, model: int, option: Option, saving: float) -> bool:
        """Place a model that is out, by moving one other model for less than what it saves."""
        for other in self._rivals(option, saving):
            present, before = self._take_out(other), self._problem.demands[other]
            worth = before.cost(present.option) + saving * (1 - WORTHWHILE)
            if self._put(model, option):
                if self._put_elsewhere(other, option.node_type, worth):
                    return True
                self._take_out(model)
            self._put_back(other, present)
        return False

    def _rivals(self, option: Option, saving: float) -> Sequence[int]:
        """Return models on a node type that might leave it for less, the best ones first."""
        if self._tries <= 0:
            return ()
        detours = ((self._detour(i), i) for i in self._there.get(option.node_type, ()))
        return [i for detour, i in sorted(detours)[:EJECTIONS] if detour < saving]

    def _put_elsewhere(self, model: int, not_on: str, less_than: float) -> bool:
        demand = self._problem.demands[model]
        for option in self._ranked[model]:
            if demand.cost(option) >= less_than:
                return False
            if option.node_type != not_on and self._put(model, option):
                return True
        return False

    def _put_cheapest(self, model: int) -> bool:
        return any(self._put(model, option) for option in self._ranked[model])

    def _put(self, model: int, option: Option) -> bool:
        if not self._may(self._problem.demands[model], option):
            return False
        self._tries -= 1
        placed = self._packing.place(option)
        if placed is None:
            return False
        self._enter(model, placed)
        return True

    def _put_back(self, model: int, placed: Placed) -> None:
        self._packing.restore(placed)
        self._enter(model, placed)

    def _enter(self, model: int, placed: Placed) -> None:
        self.placed[model] = placed
        self._there.setdefault(placed.option.node_type, set()).add(model)
        self._moves += self._problem.demands[model].moves(placed.option)

    def _take_out(self, model: int) -> Placed:
        placed = self.placed.pop(model)
        self._packing.remove(placed)
        self._there[placed.option.node_type].remove(model)
        self._moves -= self._problem.demands[model].moves(placed.option)
        return placed

    def _may(self, demand: ModelDemand, option: Option) -> bool:
        most = self._problem.max_moves
        return most is None or not demand.moves(option) or self._moves < most

    def _cost(self, model: int) -> float:
        return self._problem.demands[model].cost(self.placed[model].option)

    def _loss(self, model: int) -> float:
        """Return what it costs more than at its best."""
        return self._cost(model) - self._problem.demands[model].cost(self._ranked[model][0])

    def _regret(self, model: int) -> float:
        """Return what it costs more if the best option is gone, or infinity if that is all."""
        demand, options = self._problem.demands[model], self._ranked[model]
        return demand.cost(options[1]) - demand.cost(options[0]) if len(options) > 1 else inf

    def _detour(self, model: int) -> float:
        """Return what it would cost more on the best other node type, whatever fits."""
        demand, here = self._problem.demands[model], self.placed[model].option
        for option in self._ranked[model]:
            if option.node_type != here.node_type:
                return demand.cost(option) - demand.cost(here)
        return inf

    def _size(self, option: Option) -> float:
        return self._packing.size(option)


def ranked(demand: ModelDemand) -> list[Option]:
    """Return the options of a model, the cheapest first."""
    return sorted(demand.options, key=lambda o: (demand.cost(o), o.node_type, o.processor))


def listed(reasons: Iterable[str]) -> str:
    """Return reasons in one line that a person may read: the first few, and how many more."""
    ordered = sorted(reasons)
    more = len(ordered) - LISTED
    return "; ".join([*ordered[:LISTED], *([f"{more} more alike"] if more > 0 else [])])
