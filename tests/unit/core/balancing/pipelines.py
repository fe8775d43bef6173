"""Pipelines that the balancer's tests share, and searches that know nothing of its ways."""

from itertools import product
from math import inf

from hypothesis import strategies as st

from ferryman.api.batching import InstanceLimits
from ferryman.core.balancing.profile import Resources, StepProfile


def step(name, ms=50.0, **fields):
    """Return a step that takes so long for one row, and runs no larger batches unless told."""
    service_ms = fields.pop("service_ms", (ms,))
    limits = InstanceLimits(min=fields.pop("least", 1), max=fields.pop("most", 8))
    return StepProfile(name, tuple(each / 1e3 for each in service_ms), limits=limits, **fields)


def exhaustive(steps, resources):
    """Return the largest rate that any assignment carries, trying all of them; 0 if none fits."""
    ceilings = [inf]
    if resources.ceiling_per_s is not None:
        ceilings.append(resources.ceiling_per_s)
    if resources.processors is not None and all(s.cpu_s_per_row is not None for s in steps):
        used = sum(s.visits * s.cpu_s_per_row for s in steps)
        ceilings.append(resources.processors / used if used else inf)
    best = 0.0
    for counts in product(*(range(s.limits.min, s.limits.max + 1) for s in steps)):
        held = sum(n * (s.memory_bytes or 0) for n, s in zip(counts, steps, strict=True))
        if resources.memory_bytes is None or held <= resources.memory_bytes:
            rows = [
                n * len(s.service_s) / s.service_s[-1] / s.visits
                for n, s in zip(counts, steps, strict=True)
            ]
            best = max(best, min(*rows, *ceilings))
    return best


def drawn_orders(count):
    """Draw for each of some steps which earlier ones it reads."""
    return st.tuples(
        *(st.sets(st.integers(0, i - 1), max_size=2) if i else st.just(set()) for i in range(count))
    )


@st.composite
def drawn_steps(draw, most_steps=4, most_instances=4):
    """Draw steps with curves, visits, memory and processor time of all kinds."""
    count = draw(st.integers(1, most_steps))
    orders = draw(drawn_orders(count))
    return tuple(
        step(
            f"s{i}",
            service_ms=draw(
                st.lists(st.integers(1, 200), min_size=1, max_size=4).map(
                    lambda ms: tuple(float(sum(ms[: j + 1])) for j in range(len(ms)))
                )
            ),
            visits=draw(st.sampled_from([0.5, 1.0, 2.0, 6.0])),
            after=tuple(f"s{j}" for j in sorted(orders[i])),
            memory_bytes=draw(st.integers(0, 5)),
            cpu_s_per_row=draw(st.one_of(st.none(), st.integers(0, 50).map(lambda ms: ms / 1e3))),
            most=most_instances,
        )
        for i in range(count)
    )


def drawn_resources():
    """Draw what there is, some of it unknown."""
    return st.builds(
        Resources,
        memory_bytes=st.one_of(st.none(), st.integers(0, 40)),
        processors=st.one_of(st.none(), st.integers(1, 8).map(float)),
        ceiling_per_s=st.one_of(st.none(), st.integers(1, 200).map(float)),
    )
