"""Which objects of a watch are read, and what is said of those that are not."""

import json
import logging

import pytest

from ferryman.clients.bounded.objects import (
    ALL_BYTES,
    NAMESPACE_BYTES,
    OBJECT,
    UNREAD,
    Guard,
    bounded,
)

KIND = "inferencemodels"


def nested(levels):
    """Return an object that is so deep, as a text."""
    return '{"a":' * levels + "1" + "}" * levels


def model(name="m", namespace="a", config="{}", **metadata):
    """Return a model around an overlay that is a text."""
    identity = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": {"l": "v"}}
    head = {
        "apiVersion": "serving.ferryman.dev/v1alpha1",
        "kind": "InferenceModel",
        "metadata": {**identity, "generation": 3, "resourceVersion": "7", **metadata},
        "spec": {"model": {"config": "HERE"}},
        "status": {"observedGeneration": 2},
    }
    return json.dumps(head, separators=(",", ":")).replace('"HERE"', config).encode()


def line(body, event="ADDED"):
    """Return a line of a watch."""
    return b'{"type":"%b","object":%b}' % (event.encode(), body)


def large(values=2000):
    """Return an overlay that is read, but not small: some 100 bytes a value once parsed."""
    return json.dumps([1] * values)


@pytest.fixture
def counts():
    """Return how many objects are unread, by kind, as the guard tells it."""
    return {}


@pytest.fixture
def guard(counts):
    """Return a guard that tells its counts."""
    return Guard(counts.__setitem__)


def test_an_object_within_bounds_passes_as_it_is(guard, counts):
    assert guard.item(model(), KIND) == model()
    assert guard.line(line(model()), KIND) == line(model())
    assert counts == {}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        pytest.param(nested(600), "levels deep", id="too deep for pydantic"),
        pytest.param(nested(5000), "levels deep", id="too deep for the parser"),
        pytest.param(f'"{"x" * OBJECT.size_bytes}"', "bytes", id="too long"),
        pytest.param(json.dumps([1] * 10_000), "values", id="too many values"),
    ],
)
def test_of_an_object_out_of_bounds_all_is_said_that_need_not_be_read(config, why, guard, counts):
    found = json.loads(guard.line(line(model(config=config)), KIND))
    body = found["object"]
    assert found["type"] == "ADDED"
    assert why in body.pop(UNREAD)
    whole = json.loads(model())
    assert body == whole | {"spec": {}}
    assert counts == {KIND: 1}


def test_what_of_the_metadata_is_too_large_itself_is_left_out(guard):
    labels = {f"label-{number}": "x" for number in range(20_000)}
    managed = '{"fieldsV1":' + nested(3000) + "}"
    body = model(labels=labels, managedFields="MANAGED").replace(b'"MANAGED"', managed.encode())
    found = json.loads(guard.item(body, KIND))
    assert found["metadata"] == {
        "name": "m",
        "namespace": "a",
        "uid": "uid-m",
        "generation": 3,
        "resourceVersion": "7",
    }


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(line(model(), "MODIFIED"), id="it was shortened"),
        pytest.param(line(model(config=nested(600)), "DELETED"), id="it was deleted"),
        pytest.param(line(model(), "DELETED"), id="it was shortened and deleted meanwhile"),
    ],
)
def test_an_object_that_is_read_again_or_gone_is_forgotten(later, guard, counts):
    guard.line(line(model(config=nested(600))), KIND)
    assert counts == {KIND: 1}
    guard.line(later, KIND)
    assert counts == {KIND: 0}


def test_each_is_logged_once(guard, caplog):
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        guard.line(line(model(config=nested(600)), "MODIFIED"), KIND)
    [said] = caplog.records
    assert (said.kind, said.object) == (KIND, "a/m")
    assert "levels deep" in said.why


def read(guard, name, namespace):
    """Say whether a model that is large, but within its bounds, is read."""
    body = model(name, namespace, large())
    return UNREAD not in json.loads(guard.item(body, KIND))


COST = len(model(config=large())) + 100 * 2000


def test_one_namespaces_large_objects_have_a_share_of_the_memory(guard, counts):
    fit = NAMESPACE_BYTES // COST
    found = [read(guard, f"m-{number}", "a") for number in range(fit + 20)]
    assert 0.9 * fit < sum(found) <= fit
    assert not found[-1]
    assert read(guard, "other", "b"), "another namespace has its own"
    assert guard.item(model("small", "a"), KIND) == model("small", "a"), "small ones are free"


def test_all_namespaces_together_have_a_share_of_the_memory(guard):
    each = NAMESPACE_BYTES // COST - 2
    found = sum(
        read(guard, f"m-{number}-{namespace}", f"n-{namespace}")
        for namespace in range(ALL_BYTES // NAMESPACE_BYTES + 2)
        for number in range(each)
    )
    assert 0.9 * ALL_BYTES < found * COST <= 1.1 * ALL_BYTES


def test_what_shrinks_or_goes_makes_room(guard):
    names = [f"m-{number}" for number in range(NAMESPACE_BYTES // COST + 20)]
    kept = [name for name in names if read(guard, name, "a")]
    assert not read(guard, "next", "a")
    guard.line(line(model(kept[0], "a"), "MODIFIED"), KIND)
    assert read(guard, "next", "a"), "one was shortened"
    assert not read(guard, "last", "a")
    guard.line(line(model(kept[1], "a", large()), "DELETED"), KIND)
    assert read(guard, "last", "a"), "one was deleted"


def test_an_object_that_is_told_again_is_counted_once(guard):
    assert all(read(guard, "m", "a") for _ in range(2 * NAMESPACE_BYTES // COST))


def test_of_kubernetes_own_kinds_only_the_bounds_count(guard):
    pods = [guard.item(model(f"m-{number}", "a", large()), "pods") for number in range(200)]
    assert not any(UNREAD in json.loads(pod) for pod in pods)


def test_an_answer_to_a_write_is_bounded_as_well():
    assert bounded(model()) == model()
    assert "levels deep" in json.loads(bounded(model(config=nested(600))))[UNREAD]
