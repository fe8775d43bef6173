"""Changes of a pipeline's steps on pods: in order, put back where one refuses, never in silence."""

import asyncio

import pytest

from ferryman.actuation.steps import SHRINK_WITHIN_S, StepActuator
from ferryman.api.conditions import Reason
from ferryman.api.statistics import ServerModel
from ferryman.clients.kubernetes_errors import NotFoundError, PermanentError, TemporaryError
from ferryman.clients.triton import ConfigRefused, TritonUnavailable
from ferryman.core.pipelines.journal import PipelineChange, StepMove
from tests import factories
from tests.unit.core.pipelines.scenes import batching

PODS = (factories.pod("a"), factories.pod("b"))
CAPPED = tuple(factories.capped_pod(64, name=name) for name in "ab")


class Servers:
    """Models of two pods that load, refuse or are silent as told."""

    def __init__(self):
        self.done = []
        self.faults = {}
        """(pod, model, what is loaded) -> the error."""
        self.ready = {}
        """What was loaded last -> whether the ensemble is there after it."""
        self.limits = []
        self._last = {}

    def __call__(self, pod, model):
        """Return the connection to a model of a pod."""
        return Server(self, pod.name, model)

    async def annotate(self, pod, annotation, bound):
        """Write an annotation."""
        if ("annotate", pod.name) in self.faults:
            raise self.faults["annotate", pod.name]
        self.done.append((pod.name, annotation, bound))


class Server:
    """One model of one pod."""

    def __init__(self, servers, pod, model):
        self.servers, self.pod, self.name = servers, pod, model

    async def load(self, config, *, within_s=None, more_than=None):
        """Load as told."""
        error = self.servers.faults.get((self.pod, self.name, config))
        if error is not None:
            raise error
        self.servers.limits.append((within_s, more_than))
        self.servers.done.append((self.pod, self.name, config))
        self.servers._last[self.pod] = config

    async def model(self):
        """Say whether the ensemble is there."""
        there = self.servers.ready.get(self.servers._last.get(self.pod), True)
        return ServerModel(ready=there)


def move(step="detect", before=1, after=3, *, pods=PODS, bounds=(64, 64)):
    loads = before != after
    return StepMove(
        step,
        batching(before, bounds[0]),
        batching(after, bounds[1]),
        pods,
        f"cap.{step}",
        {pod.name: f"{step} {after}" for pod in pods} if loads else {},
        {pod.name: f"{step} {before}" for pod in pods} if loads else {},
    )


def carry_out(servers, *moves):
    change = PipelineChange(moves, Reason.LIMITING_STEP, "why", "ensemble text")
    actuator = StepActuator("chain", servers, servers.annotate)
    return asyncio.run(actuator.carry_out(change))


def test_one_pod_after_the_other_is_changed_step_by_step():
    servers = Servers()
    result = carry_out(servers, move(), move("read", 2, 1))
    assert result.outcome == "Applied"
    assert servers.done == [
        ("a", "detect", "detect 3"),
        ("b", "detect", "detect 3"),
        ("a", "read", "read 1"),
        ("b", "read", "read 1"),
    ]
    # A shrink has a deadline; a growth ends once more instances serve than each pod shows.
    assert servers.limits == [
        *((None, pod.batching.instances) for pod in PODS),
        *[(SHRINK_WITHIN_S, None)] * 2,
    ]


def test_of_a_pod_that_shows_no_instances_those_of_before_are_exceeded():
    servers = Servers()
    unknown = PODS[0].with_(instances_known=False)
    carry_out(servers, move(before=2, after=3, pods=(unknown,)))
    assert servers.limits == [(None, 2)]


def test_a_bound_alone_is_an_annotation():
    servers = Servers()
    assert carry_out(servers, move(after=1, pods=CAPPED, bounds=(64, 8))).outcome == "Applied"
    assert servers.done == [("a", "cap.detect", 8), ("b", "cap.detect", 8)]


def test_a_pod_without_a_live_cap_keeps_its_bound():
    servers = Servers()
    carry_out(servers, move(after=1, bounds=(64, 8)))
    assert servers.done == []


def test_what_was_changed_is_put_back_when_a_later_one_refuses():
    servers = Servers()
    servers.faults["b", "read", "read 2"] = ConfigRefused("out of memory")
    result = carry_out(servers, move(pods=CAPPED, bounds=(64, 8)), move("read", 1, 2))
    assert (result.outcome, result.message) == ("Refused", "out of memory")
    assert servers.done[-5:] == [
        ("a", "read", "read 1"),
        ("b", "cap.detect", 64),
        ("b", "detect", "detect 1"),
        ("a", "cap.detect", 64),
        ("a", "detect", "detect 1"),
    ]


def test_a_pod_that_resists_being_put_back_is_left_for_later():
    servers = Servers()
    servers.faults["b", "detect", "detect 3"] = ConfigRefused("no")
    servers.faults["a", "detect", "detect 1"] = TritonUnavailable("gone")
    assert carry_out(servers, move()).outcome == "Refused"


@pytest.mark.parametrize(
    ("after_restoring", "loads"),
    [
        pytest.param(True, ["detect 3", "detect 1"], id="which the step alone brings back"),
        pytest.param(
            False, ["detect 3", "detect 1", "ensemble text"], id="which has to be loaded again"
        ),
    ],
)
def test_a_step_is_put_back_where_it_takes_the_ensemble_down(after_restoring, loads):
    servers = Servers()
    servers.ready = {"detect 3": False, "detect 1": after_restoring}
    result = carry_out(servers, move(pods=PODS[:1]))
    assert result.outcome == "Refused"
    assert "step detect was loaded in pod a" in result.message
    assert [config for _, _, config in servers.done] == loads


def test_a_pod_that_is_silent_leaves_the_change_interrupted_and_the_others_are_changed():
    servers = Servers()
    servers.faults["a", "detect", "detect 3"] = TritonUnavailable("not in time")
    result = carry_out(servers, move())
    assert (result.outcome, result.message) == ("Interrupted", "not in time")
    assert servers.done == [("b", "detect", "detect 3")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        pytest.param(NotFoundError("gone", status=404), "Applied", id="a pod that is gone"),
        pytest.param(PermanentError("forbidden", status=403), "Refused", id="one that is denied"),
        pytest.param(TemporaryError("busy"), "Interrupted", id="an API server that is busy"),
    ],
)
def test_annotations_that_cannot_be_written(error, outcome):
    servers = Servers()
    servers.faults["annotate", "a"] = error
    result = carry_out(servers, move(after=1, pods=CAPPED, bounds=(64, 8)))
    assert result.outcome == outcome
