"""Random placement problems, a checker that adds up every node, and all placements there are."""

from itertools import product

from hypothesis import strategies as st

from ferryman.core.fleet.problem import ModelDemand, NodePool, Option, Part, PlacementProblem

RESOURCES = ("cpu", "memory", "gpu")
#: A node may have so many GPUs, each with an equal part of its "gpu".
GPUS = (1, 2, 3)
KINDS = ("a", "b", "c")


def option(kind="a", cost=1.0, replicas=1, processor="cpu", **uses):
    return Option(kind, processor, replicas, uses or {"cpu": 1.0}, cost)


def demand(model="m", *options, present=None, move_factor=1.0):
    return ModelDemand(model, options, present, move_factor)


def nodes(kind="a", count=1, **free):
    return NodePool(kind, (free or {"cpu": 4.0},) * count)


def gpus(count=2, nodes=1, **free):
    """Return nodes with so many GPUs, each of which has 1."""
    return NodePool("a", ({"gpu": float(count), **free},) * nodes, (Part(count, ("gpu",)),))


def problem(node_types, *demands, max_moves=None):
    return PlacementProblem(tuple(node_types), demands, max_moves)


@st.composite
def problems(draw, most_models=4):
    """Return small problems whose amounts are multiples of an eighth, so that sums are exact."""
    amounts = st.integers(1, 24).map(lambda n: n / 8)
    node_types = tuple(
        _node_type(draw, kind, amounts, draw(st.sampled_from(GPUS)))
        for kind in KINDS[: draw(st.integers(1, 3))]
    )
    options = st.builds(
        Option,
        st.sampled_from([kind.name for kind in node_types]),
        st.sampled_from(["cpu", "gpu"]),
        st.integers(1, 2),
        st.fixed_dictionaries({"cpu": amounts}, optional={"memory": amounts, "gpu": amounts}),
        st.integers(0, 16).map(lambda n: n / 4),
    )
    demands = tuple(
        ModelDemand(
            f"m{index}",
            tuple(draw(st.lists(options, max_size=3))),
            draw(st.sampled_from([None, ("a", "cpu"), ("a", "gpu")])),
            1.25,
        )
        for index in range(draw(st.integers(0, most_models)))
    )
    return PlacementProblem(node_types, demands, draw(st.sampled_from([None, None, 0, 1])))


def _node_type(draw, kind, amounts, count):
    """Return up to two nodes of a type; their GPUs have equal parts that are multiples of 1/8."""
    free = tuple(
        {name: draw(amounts) * (count if name == "gpu" else 1) for name in RESOURCES}
        for _ in range(draw(st.integers(0, 2)))
    )
    return NodePool(kind, free, (Part(count, ("gpu",)),) if count > 1 else ())


def _rooms(kind):
    """Return what each node has, its GPUs apart, as ("gpu", 0), ("gpu", 1) and so on."""
    count = kind.parts[0].count if kind.parts else 1
    return [
        {name: amount for name, amount in node.items() if name != "gpu" or count == 1}
        | {("gpu", i): node.get("gpu", 0.0) / count for i in range(count) if count > 1}
        for node in kind.free
    ]


def _named(uses, device, room):
    """Return what a replica uses by the names of a room, on one of the node's GPUs."""
    apart = ("gpu", 0) in room
    return {("gpu", device) if apart and name == "gpu" else name: uses[name] for name in uses}


def faults(given, solution):
    """Return all that is wrong with what is placed."""
    found = []
    demands = {each.model: each for each in given.demands}
    left = {kind.name: _rooms(kind) for kind in given.node_types}
    for model, placed in solution.placed.items():
        if placed.option not in demands[model].options:
            found.append(f"{model} was never offered that")
        if len(placed.nodes) != placed.option.replicas:
            found.append(f"{model} lacks replicas")
        for node, device in zip(placed.nodes, placed.devices or [0] * 99, strict=False):
            room = left[placed.option.node_type][node]
            for name, amount in _named(placed.option.uses, device, room).items():
                room[name] = room.get(name, 0.0) - amount
    found += [
        f"{kind}[{index}] gives more {name} than it has"
        for kind, rooms in left.items()
        for index, room in enumerate(rooms)
        for name, amount in room.items()
        if amount < -1e-6
    ]
    moves = sum(demands[model].moves(each.option) for model, each in solution.placed.items())
    if given.max_moves is not None and moves > given.max_moves:
        found.append(f"{moves} moves")
    if {*solution.placed, *solution.unplaced} != set(demands):
        found.append("a model is missing")
    return found


def least_cost(given):
    """Return the least cost of placing all models, by trying everything; None for no placement."""
    costs = [
        sum(each.cost(o) for each, o in zip(given.demands, chosen, strict=True))
        for chosen in product(*(each.options for each in given.demands))
        if _few_moves(given, chosen) and _fits(given, chosen)
    ]
    return min(costs, default=None)


def _few_moves(given, chosen):
    moves = sum(each.moves(o) for each, o in zip(given.demands, chosen, strict=True))
    return given.max_moves is None or moves <= given.max_moves


def _fits(given, chosen):
    replicas = [o for o in chosen for _ in range(o.replicas)]
    return _pack(replicas, {kind.name: _rooms(kind) for kind in given.node_types})


def _pack(replicas, free):
    if not replicas:
        return True
    first, *others = replicas
    for room in free[first.node_type]:
        for device in range(max(GPUS)):
            uses = _named(first.uses, device, room)
            if all(room.get(name, 0.0) >= amount for name, amount in uses.items()):
                for name, amount in uses.items():
                    room[name] -= amount
                if _pack(others, free):
                    return True
                for name, amount in uses.items():
                    room[name] += amount
            if uses == first.uses:
                break  # it makes no difference
    return False
