# ruff: noqa: D101, D102, ARG002  the doubles are described by the protocols they stand in for
import logging
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ferryman.agent.cpu import CpuProcessors
from ferryman.agent.processors import Discovery, Host, Inventory, Utilisation
from ferryman.agent.publish import Agent, Settings, retry_delay_s
from ferryman.api.node_profile import CpuTopology, Processor
from ferryman.clients.cluster import ClusterError, Node, ProfileMissingError
from tests.unit.agent.cgroups import POD, v1

HOST = Host(2_000, 2**32)
START = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
STEP_S = 5.0


class FakeCluster:
    """An API server of one node: remembers what was applied, fails while ``down``."""

    def __init__(self):
        self.node_object = Node("worker", "u-1", "amd64", 2_000, 2**32)
        self.down = False
        self.profile = None
        self.statuses = []
        self.requests = 0

    def node(self, name):
        self._answer()
        assert name == "worker"
        return self.node_object

    def apply_profile(self, node):
        self._answer()
        self.profile = node.uid

    def apply_status(self, name, status):
        self._answer()
        if self.profile is None:
            raise ProfileMissingError("404")
        self.statuses.append(status)

    def _answer(self):
        self.requests += 1
        if self.down:
            raise ClusterError("connection refused")


class FakeCpu:
    def __init__(self):
        self.busy = 0.2
        self.lost = None
        self.samples = 0

    def discover(self):
        processor = Processor(processor_class="cpu", product="x")
        return Discovery((processor,), cpu=CpuTopology(sockets=2, instruction_sets=("avx2",)))

    def sample(self, now_s):
        self.samples += 1
        return {"cpu": Utilisation(self.busy, 0.5, self.lost)}


class World:
    """An agent, its cluster and its processor on virtual time."""

    def __init__(self):
        self.cluster = FakeCluster()
        self.cpu = FakeCpu()
        self.hosts = []
        self.now_s = 1_000.0
        self.agent = Agent(
            Settings("worker"), self.cluster, rng=random.Random(7), inventory=self.build
        )

    def build(self, host):
        self.hosts.append(host)
        return Inventory({"cpu": self.cpu})

    def run(self, seconds):
        for _ in range(int(seconds / STEP_S)):
            self.now_s += STEP_S
            self.agent.tick(self.now_s, START + timedelta(seconds=self.now_s - 1_000))

    @property
    def shown(self):
        return self.cluster.statuses[-1]["processors"][0].get("utilisation")


@pytest.fixture
def world():
    return World()


def test_the_first_tick_publishes_the_profile_owned_by_the_node(world):
    world.run(STEP_S)
    assert world.cluster.profile == "u-1"
    (status,) = world.cluster.statuses
    assert status["heartbeatTime"] == "2026-11-21T13:00:05Z"
    assert status["hardware"]["cpuMillicores"] == 2_000
    assert status["processors"][0]["utilisation"] == 0.2
    assert status["hardware"]["cpu"] == {"sockets": 2, "instructionSets": ["avx2"]}
    assert world.hosts[0].cpu_millicores == 2_000


def test_an_idle_node_writes_only_heartbeats(world):
    world.run(600)
    assert 10 <= len(world.cluster.statuses) <= 12
    bodies = [{**status, "heartbeatTime": ""} for status in world.cluster.statuses]
    assert all(body == bodies[0] for body in bodies)


def test_noise_below_a_step_causes_no_writes(world):
    world.run(STEP_S)
    for busy in (0.19, 0.22, 0.18, 0.21):
        world.cpu.busy = busy
        world.run(STEP_S)
    assert len(world.cluster.statuses) == 1


def test_a_change_of_load_is_written_before_the_heartbeat_and_smoothed(world):
    world.run(STEP_S)
    world.cpu.busy = 1.0
    world.run(2 * STEP_S)
    assert 0.3 <= world.shown <= 0.5
    world.run(180)
    assert world.shown == 1.0


def test_a_load_that_never_rests_is_written_as_the_allowance_permits(world):
    for minute in range(20):
        for step in range(12):
            world.cpu.busy = (minute * 12 + step) % 5 / 5
            world.run(STEP_S)
    assert 20 <= len(world.cluster.statuses) <= 2 + 20 * 60 / 54


def test_a_processor_that_gets_lost_is_written_though_the_allowance_is_spent(world):
    for busy in (0.2, 1.0, 0.2, 1.0):
        world.cpu.busy = busy
        world.run(STEP_S)
    spent = len(world.cluster.statuses)
    assert spent == 2
    world.cpu.lost = "GPU 0 is lost"
    world.run(STEP_S)
    assert len(world.cluster.statuses) == spent + 1
    assert world.cluster.statuses[-1]["processors"][0]["unavailable"] == "GPU 0 is lost"
    world.cpu.lost = None
    world.run(2 * STEP_S)
    assert len(world.cluster.statuses) == spent + 1  # its return can wait


def test_unknown_utilisation_is_absent_at_once_never_zero(world):
    world.run(STEP_S)
    world.cpu.busy = None
    world.run(STEP_S)
    assert world.shown is None


def test_the_api_server_gone_for_a_minute_is_said_once_sampled_through_and_survived(world, caplog):
    world.run(STEP_S)
    world.cluster.down = True
    world.cpu.busy = 1.0
    caplog.clear()  # another test may have asked for what is said before
    with caplog.at_level(logging.INFO, "ferryman.agent"):
        before = world.cpu.samples
        world.run(60)
        assert world.cpu.samples - before == 12
        world.cluster.down = False
        world.run(30)
    assert [record.message for record in caplog.records] == [
        "the API server fails; sampling goes on",
        "the API server answers again",
    ]
    assert caplog.records[0].error == "connection refused"
    assert world.shown > 0.8  # what was sampled meanwhile counts


def test_a_server_that_is_gone_is_not_asked_at_every_tick(world):
    world.run(STEP_S)
    world.cluster.down = True
    before = world.cluster.requests
    world.run(600)
    assert world.cluster.requests - before <= 45


def test_the_wait_after_failures_grows_and_is_bounded():
    assert [retry_delay_s(n) for n in (1, 2, 3, 4, 5, 50)] == [1, 2, 4, 8, 15, 15]


def test_without_the_node_nothing_is_published_and_nothing_breaks(world):
    world.cluster.down = True
    world.run(60)
    world.cluster.down = False
    world.run(30)
    assert world.cluster.profile == "u-1"


def test_a_profile_that_somebody_deleted_is_made_again(world):
    world.run(STEP_S)
    world.cluster.profile = None
    world.run(65)
    assert world.cluster.profile == "u-1"
    assert len(world.cluster.statuses) == 2


def test_a_new_node_of_the_same_name_becomes_the_owner(world):
    world.run(STEP_S)
    world.cluster.node_object = Node("worker", "u-2", "amd64", 2_000, 2**32)
    world.run(70)
    assert world.cluster.profile == "u-2"


def test_another_allocatable_cpu_rebuilds_the_plugins_and_changes_the_type(world):
    world.run(STEP_S)
    world.cluster.node_object = Node("worker", "u-1", "amd64", 1_000, 2**32)
    world.run(35)
    assert [host.cpu_millicores for host in world.hosts] == [2_000, 1_000]
    first, last = world.cluster.statuses[0], world.cluster.statuses[-1]
    assert first["nodeType"] != last["nodeType"]


def test_an_agent_that_cannot_see_looks_anew_and_less_and_less_often(world):
    world.run(STEP_S)
    world.cpu.busy = None
    world.run(100)
    assert len(world.hosts) == 2
    world.run(3_600)
    assert 6 <= len(world.hosts) <= 10  # after 1, 2, 4, 8, 10, 10 … minutes
    assert any("does not tell it" in note for note in world.cluster.statuses[-1]["notes"])


def test_what_is_seen_again_ends_the_new_looks(world):
    world.run(STEP_S)
    world.cpu.busy = None
    world.run(100)
    world.cpu.busy = 0.4
    world.run(600)
    assert len(world.hosts) == 2
    assert world.shown == 0.4


def test_a_new_look_makes_nothing_unknown_that_was_known(world):
    world.run(600)
    first_looks = world.cpu.samples
    world.cluster.node_object = Node("worker", "u-1", "amd64", 2_000, 2**32, {"new": "label"})
    world.run(35)
    assert len(world.hosts) == 2
    assert world.cpu.samples == first_looks + 7 + 1  # one to begin with, which is not shown
    assert all(each["processors"][0]["utilisation"] for each in world.cluster.statuses)


def test_a_plugin_that_could_not_start_is_tried_again(world):
    attempts = []

    def build(host):
        attempts.append(host)
        failed = ("plug-in npu failed to start: OSError: not yet",) if len(attempts) < 2 else ()
        return Inventory({"cpu": world.cpu}, failed)

    world.agent._build = build
    world.run(120)
    assert len(attempts) == 2
    assert world.cluster.statuses[-1]["notes"] == []


def test_a_node_that_was_gone_and_left_its_old_cgroup_behind_is_seen_within_a_minute(tmp_path):
    """Its pods keep their UIDs, so that the agent's own cgroup is there twice: once dead."""
    world = World()
    host = replace(HOST, cgroup_root=tmp_path, pod_uid=POD, proc=tmp_path, sys=tmp_path)
    world.agent._build = lambda _: Inventory({"cpu": CpuProcessors(host)})

    def pod(node, processes):
        for controller in ("cpuacct", "memory"):
            folder = tmp_path / controller / node / f"kubepods/pod{POD}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cgroup.procs").write_text(processes)

    def live(node, seconds):
        for _ in range(int(seconds / STEP_S)):
            v1(tmp_path, node, "kubepods", usage_ns=int(world.now_s * 1e9), used=2**30)
            world.run(STEP_S)

    pod("node", "1\n")
    live("node", 60)
    assert world.shown == 0.5
    pod("node", "")
    pod("node/docker/node", "1\n")
    live("node/docker/node", 60)
    assert world.shown == 0.5


def test_ticks_and_heartbeats_are_jittered_but_never_late(world):
    intervals = {world.agent.interval_s() for _ in range(50)}
    assert len(intervals) > 40
    assert all(4.5 <= interval <= 5.5 for interval in intervals)
