"""An operator that is killed at any write of a change of a pipeline's steps: the next goes on.

`make test` tries one of the writes, `make test-kills` all of them.
"""

import os

import pytest

from tests.integration.operators import wait_for
from tests.integration.pipeline_parts import (
    Kubelet,
    Load,
    condition,
    create,
    delete,
    specification,
    status,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

#: Steps that take next to nothing beside the slow one, which may have three instances.
SLEEPS_MS = {"prepare": 1, "detect": 100, "read": 1}
#: More than two instances can serve, and much less than three: others may want the processors.
LEAST_PER_S = 22
END = {"prepare": 1, "detect": 3, "read": 1}
#: What a new operator makes sure of, and a change: it is written down, carried out, its end is
#: written down, what is seen of it, and the file from which pods start.
WRITES = (
    *("apply ConfigMap", "apply NetworkPolicy", "apply Service", "apply PodDisruptionBudget"),
    *("apply Deployment", "apply InferencePipeline/status", "load"),
    *("apply InferencePipeline/status", "apply InferencePipeline/status", "apply ConfigMap"),
)
ALL = [(number, when) for number in range(1, len(WRITES) + 1) for when in ("before", "after")]
#: The step has its instances, and nothing says so.
FEW = [(7, "after")]
KILLS = ALL if os.environ.get("KILLS") == "all" else FEW


class Life:
    """A pipeline from its first pod until its slow step has the workers that it needs."""

    def __init__(self, objects, folder, new_operator):
        self.objects, self.folder = objects, folder
        self.operator = new_operator()
        self.dying = new_operator()
        self.written = folder / "writes"

    def lived(self, kill=None):
        """Have it come to its end under load, with an operator that is killed at a write."""
        self.objects.heartbeat("node-1", "node-2")
        self.operator.start()
        kubelet = Kubelet(self.objects, self.folder)
        template = create(self.objects, specification(SLEEPS_MS, END["detect"], LEAST_PER_S))
        try:
            kubelet.lay_out(template)
            with kubelet.run(template):
                self._made_ready(kubelet, template)
                self.operator.kill()
                with Load() as load:
                    self._die(*(kill or (10**6, "before")), ends=kill is not None)
                    self.operator.start()
                    wait_for("it comes to rest", self._rested, 120)
                    self.operator.kill()
        finally:
            self.operator.close()
            self.dying.close()
            delete(self.objects)
        assert (load.failed, load.words) == (0, "")

    def _made_ready(self, kubelet, template):
        kubelet.pod(template, ready=False)
        loaded = lambda: condition(self.objects, "ModelLoaded")[0] == "True"  # noqa: E731
        wait_for("the ensemble is loaded", loaded, 60)
        kubelet.project()
        kubelet.pod(template, ready=True)
        ready = lambda: condition(self.objects, "Ready") == ("True", "Serving")  # noqa: E731
        wait_for("it is ready", ready, 60)

    def _die(self, number, when, *, ends):
        """Have an operator work until it dies at that write, or the pipeline rests without."""
        self.dying.module = "tests.integration.dying_operator"
        self.dying.environment = {
            "DIE_AT": str(number),
            "DIE_WHEN": when,
            "WRITES": str(self.written),
        }
        self.dying.start(wait_until_ready=False)
        if ends:
            wait_for("it dies", lambda: not self.dying.alive, 120)
        else:
            wait_for("it comes to rest", self._rested, 120)
            self.dying.kill()

    def _rested(self):
        """Whether the objectives are met and no change is under way."""
        self.end = status(self.objects)
        met = condition(self.objects, "ObjectivesMet")
        return met and met[0] == "True" and workers(self.end) == END


def workers(found):
    """Return how many instances of each step are seen to run."""
    return {each["name"]: each["instances"]["observed"] for each in found["steps"]}


def test_without_a_kill_it_makes_as_many_writes(objects, cluster, new_operator, tmp_path):
    if len(KILLS) < len(ALL):
        pytest.skip("make test-kills looks whether it tries all of them")
    life = Life(objects, tmp_path, new_operator)
    life.lived()

    made = [line.split(" ", 1)[1] for line in life.written.read_text().splitlines()]
    assert tuple(made[: len(WRITES)]) == WRITES, made
    # Whatever is measured from then on is told.
    assert {*made[len(WRITES) :]} <= {"apply InferencePipeline/status"}, made


@pytest.mark.parametrize(("number", "when"), KILLS, ids=str)
def test_a_change_ends_where_it_would_have(objects, cluster, new_operator, tmp_path, number, when):
    life = Life(objects, tmp_path, new_operator)
    life.lived((number, when))

    assert len(life.written.read_text().splitlines()) == number
    newest, *before = life.end["balancing"]["changes"]
    assert newest["outcome"] == "Applied", newest
    # What nobody saw carried out is decided anew. Triton shows instances only once all that ran
    # before them has ended: who knows of none yet puts them in force again.
    known = "Applied" if newest["reason"] == "Drifted" else "Interrupted"
    assert {each["outcome"] for each in before} <= {known}, before
