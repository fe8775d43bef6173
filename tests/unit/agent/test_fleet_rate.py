"""What a thousand agents cost the API server, on one virtual clock."""

# ruff: noqa: D102, ARG002  the doubles are described by the protocols they stand in for
import heapq
import random
from datetime import UTC, datetime, timedelta

import pytest

from ferryman.agent.processors import Discovery, Inventory, Utilisation
from ferryman.agent.publish import Agent, Settings
from ferryman.api.node_profile import Processor
from ferryman.clients.cluster import Node

AGENTS = 1_000
LIMIT_PER_S = 20
WARM_UP_S = 120
MINUTE_S = 60
START = datetime(2026, 11, 21, tzinfo=UTC)


class CountingCluster:
    """An API server that remembers only when it was written to."""

    def __init__(self):
        self.now_s = 0.0
        self.writes_s = []

    def node(self, name):
        return Node(name, name, "amd64", 2_000, 2**32)

    def apply_profile(self, node):
        self.writes_s.append(self.now_s)

    def apply_status(self, name, status):
        self.writes_s.append(self.now_s)


class Cpu:
    """A processor whose load is a function of time, seen with noise."""

    def __init__(self, load, rng):
        self._load = load
        self._rng = rng

    def discover(self):
        return Discovery((Processor(processor_class="cpu", product="x"),))

    def sample(self, now_s):
        seen = self._load(now_s) + self._rng.gauss(0, 0.02)
        return {"cpu": Utilisation(min(1.0, max(0.0, seen)), 0.5)}


def run(load_of, seconds):
    """Run the fleet, agents started over the first minute; return when it wrote."""
    cluster = CountingCluster()
    queue = []
    for number in range(AGENTS):
        rng = random.Random(number)
        cpu = Cpu(load_of(number), rng)
        agent = Agent(
            Settings(f"node-{number}"),
            cluster,
            rng=rng,
            inventory=lambda _, cpu=cpu: Inventory({"cpu": cpu}),
        )
        heapq.heappush(queue, (rng.uniform(0, MINUTE_S), number, agent))
    while queue[0][0] < seconds:
        now_s, number, agent = heapq.heappop(queue)
        cluster.now_s = now_s
        agent.tick(now_s, START + timedelta(seconds=now_s))
        heapq.heappush(queue, (now_s + agent.interval_s(), number, agent))
    return cluster.writes_s


def worst_minute_per_s(writes_s, since_s, until_s):
    """Return the writes per second of the busiest minute."""
    minutes = range(int(since_s), int(until_s) - MINUTE_S + 1, 10)
    return max(
        sum(start <= write_s < start + MINUTE_S for write_s in writes_s) / MINUTE_S
        for start in minutes
    )


def idle(number):
    return lambda _: 0.1


def restless(number):
    """Jump to another load every 20 s, each node at its own times."""
    return lambda now_s: random.Random(f"{number}/{int((now_s + number) / 20)}").random()


def all_at_once(number):
    """Be idle for four minutes, then busy, on every node at the same moment."""
    return lambda now_s: 0.1 if now_s < 240 else 0.9


@pytest.mark.parametrize("load", [idle, restless])
def test_in_no_minute_do_a_thousand_nodes_write_more_than_20_times_a_second(load):
    seconds = 300
    assert 10 <= worst_minute_per_s(run(load, seconds), WARM_UP_S, seconds) <= LIMIT_PER_S


def test_a_change_on_all_nodes_at_once_costs_two_writes_a_node_and_then_no_more_than_ever():
    writes_s = run(all_at_once, 480)
    first_s = 240
    burst = sum(first_s <= write_s < first_s + 30 for write_s in writes_s)
    assert AGENTS <= burst <= 2.6 * AGENTS  # two each, and the heartbeats that were due
    assert worst_minute_per_s(writes_s, 300, 480) <= LIMIT_PER_S
