"""Objects that are somebody else's, and those that the API server refuses."""

import copy

import pytest

from ferryman.api import names
from ferryman.clients.kubernetes_errors import ForbiddenError, PermanentError
from tests import factories
from tests.unit.handlers.scenes import (
    ANOTHER,
    ROLLED_OUT,
    SERVING,
    fixed,
    prepare,
    readiness,
    serving,
)


def told(cluster):
    """Return how often something was written for people."""
    writes = cluster.writes()
    return writes["apply", "InferenceModel/status"], writes["create", "Event"]


def words_of(cluster, kind="Stalled"):
    """Return the message of a condition."""
    return next(c["message"] for c in cluster.status()["conditions"] if c["type"] == kind)


def put_theirs(cluster, index="services", **metadata):
    """Put somebody else's object of the name that one of the model's is to have."""
    own = {"name": "resnet50-triton", "namespace": "default", **metadata}
    return copy.deepcopy(cluster.api.put(index, {"metadata": own, "spec": {"theirs": True}}))


@pytest.mark.parametrize(
    ("index", "kind"),
    [
        ("configmaps", "ConfigMap"),
        ("deployments", "Deployment"),
        ("networkpolicies", "NetworkPolicy"),
        ("poddisruptionbudgets", "PodDisruptionBudget"),
        ("services", "Service"),
    ],
)
def test_nothing_is_applied_while_an_object_of_the_name_is_somebody_elses(
    cluster, play, index, kind
):
    async def script(cluster):
        theirs = put_theirs(cluster, index)
        prepare(cluster)
        await cluster.beat(60)
        seen = cluster.condition("Ready"), cluster.condition("Stalled"), words_of(cluster)
        before = cluster.writes()
        await cluster.beat(600)
        assert cluster.writes() == before, "told once"
        assert not {("apply", each) for each in SERVING} & set(before)
        assert cluster.api.get(index, "resnet50-triton") == theirs
        cluster.api.drop(index, "resnet50-triton", "default")
        await cluster.beat(70)
        return seen

    ready, stalled, words = play(script)
    assert (ready, stalled) == (("False", "NameTaken"), ("True", "NameTaken"))
    assert words == (
        f"{kind} resnet50-triton exists and is not Ferryman's: rename the model, or remove that "
        "object"
    )
    events = [event[1:3] for event in cluster.api.events]
    assert events == [("Normal", "LeastWorkload"), ("Warning", "NameTaken")]
    assert cluster.condition("Stalled") is None
    assert cluster.condition("Reconciling") == ("True", "Deploying")
    applied = {each: cluster.writes()["apply", each] for each in SERVING}
    assert applied == dict.fromkeys(SERVING, 1)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"labels": {names.LABEL_MODEL: "resnet50"}}, id="by its label"),
        pytest.param({"ownerReferences": [{"uid": "uid-resnet50"}]}, id="by its owner"),
    ],
)
def test_an_object_of_the_models_own_that_no_watch_shows_is_put_right(cluster, play, metadata):
    async def script(cluster):
        put_theirs(cluster, **metadata)
        cluster.api.indices["services"].clear()  # the label that watches go by was taken off
        prepare(cluster)
        await cluster.settle()

    play(script)
    assert cluster.api.get("services", "resnet50-triton")["spec"] != {"theirs": True}
    assert cluster.condition("Stalled") is None


def test_what_takes_the_place_of_a_deleted_object_is_left_alone_and_what_serves_goes_on(
    cluster, play
):
    async def script(cluster):
        await serving(cluster)
        before = cluster.writes()
        cluster.api.drop("services", "resnet50-triton", "default")
        theirs = put_theirs(cluster)
        await cluster.settle(20)
        return theirs, before

    theirs, before = play(script)
    assert cluster.condition("Ready") == ("False", "NameTaken")
    assert cluster.api.get("services", "resnet50-triton") == theirs
    assert cluster.writes()["apply", "Deployment"] == before["apply", "Deployment"]


def test_a_secret_of_the_name_that_is_somebody_elses_is_left_alone(cluster, play):
    async def script(cluster):
        theirs = {"metadata": {"name": "resnet50-triton"}, "data": {"k": "dg=="}}
        key = ("Secret", "default", "resnet50-triton")
        cluster.api.objects[key] = copy.deepcopy(theirs)
        prepare(cluster)
        await cluster.beat(60)
        assert cluster.condition("Ready") == ("False", "NameTaken")
        assert cluster.api.objects[key] == theirs
        assert not {("apply", each) for each in SERVING} & set(cluster.writes())

    play(script)
    assert words_of(cluster).startswith("Secret resnet50-triton exists and is not Ferryman's")


def test_names_are_looked_for_only_while_nothing_is_known_of_them(cluster, play):
    async def script(cluster):
        await serving(cluster)
        first = sorted(cluster.api.looked_for)
        cluster.model(**ANOTHER)
        await cluster.beat(700)
        await cluster.end()
        await cluster.begin()
        await cluster.settle(10)
        return first

    assert play(script) == sorted(SERVING - {"Secret"})
    assert len(cluster.api.looked_for) == len(SERVING) - 1


QUOTA = ForbiddenError('apply Service: 403 services "resnet50-triton": exceeded quota', status=403)


POLICY = PermanentError("apply Deployment: 422 images must be signed", status=422)


def test_what_the_api_server_refuses_is_told_once_and_is_over_once_it_takes_it(cluster, play):
    async def script(cluster):
        cluster.api.refused = {"Service": QUOTA}
        prepare(cluster)
        await cluster.beat(60)
        seen = cluster.condition("Ready"), cluster.condition("Stalled"), words_of(cluster)
        before, place = told(cluster), cluster.status()["placement"]
        await cluster.beat(600)
        await cluster.end()
        await cluster.begin()
        await cluster.beat(300)
        assert told(cluster) == before, "not even by another operator"
        assert cluster.status()["placement"]["nodeType"] == place["nodeType"] == "cpu-small"
        cluster.api.refused = {"Service": POLICY}
        await cluster.beat(130)
        assert told(cluster) == (before[0] + 1, before[1] + 1), "other words are told as well"
        assert "images must be signed" in words_of(cluster)
        cluster.api.refused = {}
        await cluster.beat(130)
        return seen

    ready, stalled, words = play(script)
    assert (ready, stalled) == (("False", "ApplyRefused"), ("True", "ApplyRefused"))
    assert "exceeded quota" in words
    warnings = [event[2] for event in cluster.api.events if event[1] == "Warning"]
    assert warnings == ["ApplyRefused", "ApplyRefused"]
    assert cluster.condition("Stalled") is None
    assert cluster.condition("Reconciling") == ("True", "Deploying")


def test_a_refused_specification_is_never_ready_and_the_next_is_judged_afresh(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.api.refused = {"Deployment": POLICY}
        cluster.model(**ANOTHER)
        await cluster.beat(130)
        during = cluster.condition("Ready")
        cluster.api.refused = {}
        cluster.model(model=factories.source("oci://registry.example/resnet50:signed"))
        await cluster.settle()
        cluster.serve()
        await cluster.settle(10)
        return during

    assert play(script) == ("False", "ApplyRefused")
    assert readiness(cluster, 2) == [("False", "Applying"), ("False", "ApplyRefused")]
    assert readiness(cluster, 3) == ROLLED_OUT


def test_a_very_long_refusal_is_cut_and_told_once(cluster, play):
    async def script(cluster):
        cluster.api.refused = {"Service": PermanentError("x" * 5000, status=422)}
        prepare(cluster)
        await cluster.beat(60)
        before = told(cluster)
        await cluster.beat(300)
        return before

    assert play(script) == told(cluster)
    assert len(words_of(cluster)) == 1024


def test_batching_is_not_changed_while_objects_are_refused_and_that_costs_no_write(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.api.refused = {"Deployment": POLICY}
        cluster.model(**ANOTHER, batching=fixed(16))
        await cluster.beat(90)
        before = told(cluster)
        await cluster.beat(600)
        seen = cluster.status()["batching"], list(cluster.tritons.at("10.0.0.1").loads)
        assert told(cluster) == before
        cluster.api.refused = {}
        await cluster.beat(130)
        return seen

    batching, loads = play(script)
    assert (batching["changes"], batching["recentReloads"], loads) == ([], [], [])
    assert [loaded.max_batch_size for loaded in cluster.tritons.at("10.0.0.1").loads] == [16]


def test_an_object_that_is_too_large_to_be_read_says_so_once_and_keeps_what_serves(cluster, play):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        before = cluster.status()
        body = cluster.api.get("models", "resnet50")
        whole = body["spec"]
        why = "it is too large to be read: it has 1_200 levels deep, 64 at most"
        cluster.api.put("models", {**body, "spec": {}, "unread": why})
        await cluster.settle()
        written = len(cluster.api.statuses)
        await cluster.settle(1500)
        again, told = len(cluster.api.statuses) - written, cluster.status()
        stalled = cluster.condition("Stalled")
        read = {key: value for key, value in body.items() if key != "unread"}
        cluster.api.put("models", {**read, "spec": whole, "status": told})
        await cluster.settle()
        return before, told, stalled, again

    before, told, stalled, again = play(script)
    assert stalled == ("True", "InvalidSpec")
    [message] = [c["message"] for c in told["conditions"] if c["type"] == "Stalled"]
    assert "1_200 levels deep" in message
    assert "shorten spec.model.config" in message
    assert told["placement"] == before["placement"]
    assert again == 0
    assert cluster.condition("Stalled") is None
