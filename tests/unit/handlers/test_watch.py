import pytest

from ferryman.api.pipelines.step import ModelRef
from ferryman.api.resources import model_key, pipeline_key
from ferryman.handlers.cache import Cache, version
from ferryman.handlers.watch import WATCHED, Concern, EventMapper
from tests import factories
from tests.fakes import FakeKubernetes, node_object, pod_object, wire

DEFAULT = "default"


@pytest.fixture
def cluster():
    api = FakeKubernetes()
    placed = wire(factories.model("placed"))
    placed["status"] = {"placement": {"nodeType": "cpu-small", "reason": "x", "message": "x"}}
    api.put("models", placed)
    api.put("models", wire(factories.model("unplaced")))
    other = wire(factories.model("other"))
    other["spec"]["runtimeRef"]["name"] = "another"
    other["status"] = placed["status"]
    api.put("models", other)
    api.put("nodes", node_object())
    api.put("profiles", wire(factories.profile()))
    return api


@pytest.fixture
def mapper(cluster):
    mapper = EventMapper(Cache(cluster.indices))
    mapper.map("profiles", wire(factories.profile()), deleted=False)
    mapper.map("nodes", node_object(), deleted=False)
    return mapper


def looks(mapper, index, body, *, deleted=False):
    concern = mapper.map(index, body, deleted=deleted)
    assert concern.placements == (concern.benchmarks and index != "pods")
    return {key.name for key in concern.keys}, concern.benchmarks


ALL = {"placed", "unplaced", "other"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, (set(), False), id="a heartbeat: nobody"),
        pytest.param({"heartbeat_age_s": 0}, (set(), False), id="a newer heartbeat: nobody"),
        pytest.param(
            {"processors": [factories.processor(utilisation=0.9)]},
            (set(), False),
            id="another utilisation: nobody",
        ),
        pytest.param(
            {"node_type": "cpu-large"}, (ALL, True), id="another node type: everyone and benchmarks"
        ),
        pytest.param(
            {"benchmarks": []}, (ALL, True), id="another benchmark: everyone and benchmarks"
        ),
        pytest.param(
            {"processors": [factories.processor(unavailable="gone")]},
            (ALL, True),
            id="a processor is lost: everyone and benchmarks",
        ),
        pytest.param(
            {"annotations": {"serving.ferryman.dev/benchmark-requested": "2026-11-21T13:00:00Z"}},
            (ALL, True),
            id="a benchmark is asked for: benchmarks are mapper",
        ),
    ],
)
def test_of_a_profile_only_what_can_change_a_decision_concerns_models(mapper, changes, expected):
    values = {"benchmarks": [factories.benchmark()], **changes}
    assert looks(mapper, "profiles", wire(factories.profile(**values))) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(node_object(), set(), id="nothing new"),
        pytest.param(node_object(ready=False), ALL, id="it is not ready any more"),
        pytest.param(node_object(unschedulable=True), ALL, id="it is cordoned"),
        pytest.param(
            node_object(taints=[{"key": "a", "effect": "NoSchedule"}]), ALL, id="it is tainted"
        ),
    ],
)
def test_of_a_node_only_what_can_change_a_decision_concerns_models(mapper, body, expected):
    assert looks(mapper, "nodes", body)[0] == expected


@pytest.mark.parametrize("index", WATCHED)
def test_of_every_kind_that_is_watched_it_is_known_whom_an_event_concerns(mapper, index):
    assert isinstance(mapper.map(index, node_object(), deleted=True), Concern)


def test_pipelines_are_looked_at_beside_models_of_the_same_name(cluster):
    key, body = pipeline_key(DEFAULT, "placed"), wire(factories.pipeline("placed"))
    body["spec"]["runtimeRef"]["name"] = "another"
    stored = Cache({**cluster.indices, "pipelines": {key: [body]}})
    assert stored.subject(key) is body
    assert stored.subject(model_key(DEFAULT, "placed")) is not body
    mapper = EventMapper(stored)
    served = mapper.map("runtimes", wire(factories.runtime("another")), deleted=False)
    assert set(served.keys) == {model_key(DEFAULT, "other"), key}
    concerned = mapper.map("nodes", node_object(), deleted=True).keys
    assert set(concerned) == {*stored.subject_keys("InferenceModel"), key}
    assert stored.subject_keys("InferencePipeline") == [key]
    answer = {**body, "metadata": {**body["metadata"], "resourceVersion": "9999"}}
    stored.remember_subject(key, answer)
    assert version(stored.subject(key)) == 9999
    assert version(stored.subject(model_key(DEFAULT, "placed"))) < 9999


def test_a_model_concerns_the_pipelines_of_its_namespace_that_take_its_files(cluster):
    step = factories.pipeline_step("read", "image", model=None, model_ref=ModelRef(name="m"))
    indices = {**cluster.indices, "pipelines": {}}
    for name, namespace, steps in (
        ("reads", DEFAULT, [step]),
        ("elsewhere", "other", [step]),
        ("own", DEFAULT, None),
    ):
        body = wire(factories.pipeline(name, namespace=namespace, steps=steps))
        indices["pipelines"][pipeline_key(namespace, name)] = [body]
    concern = EventMapper(Cache(indices)).map("models", wire(factories.model("m")), deleted=False)
    assert concern.keys == [model_key(DEFAULT, "m"), pipeline_key(DEFAULT, "reads")]


def test_a_model_that_is_new_or_was_changed_comes_first(mapper):
    body = wire(factories.model("placed", generation=2))
    for seen, first in ((None, True), (1, True), (2, False)):
        status = {} if seen is None else {"observedGeneration": seen}
        concern = mapper.map("models", {**body, "status": status}, deleted=False)
        assert (concern.keys, concern.first) == ([model_key(DEFAULT, "placed")], first)


def test_a_node_that_is_gone_concerns_everyone(mapper):
    assert looks(mapper, "nodes", node_object(), deleted=True) == (ALL, True)


def test_a_runtime_concerns_the_models_that_name_it(mapper):
    body = wire(factories.runtime("another"))
    assert looks(mapper, "runtimes", body) == ({"other"}, True)


def test_a_pod_concerns_the_model_in_its_label_and_no_other(mapper):
    assert looks(mapper, "pods", pod_object()) == ({"resnet50"}, False)
    waiting = pod_object(node="")
    assert looks(mapper, "pods", waiting) == ({"resnet50"}, True)
    assert looks(mapper, "pods", waiting, deleted=True) == ({"resnet50"}, False)
    stranger = pod_object()
    del stranger["metadata"]["labels"]
    assert looks(mapper, "pods", stranger) == (set(), False)


def test_the_answer_to_a_write_counts_until_the_watch_has_caught_up(cluster):
    cache = Cache(cluster.indices)
    key = model_key(DEFAULT, "placed")
    before = cache.subject(key)
    newer = {**before, "metadata": {**before["metadata"], "resourceVersion": "999"}}
    cache.remember("models", key, newer)
    assert version(cache.subject(key)) == 999, "the watch lags behind: our own write counts"
    latest = {**before, "metadata": {**before["metadata"], "resourceVersion": "1000"}}
    cluster.indices["models"][key] = [latest]
    assert version(cache.subject(key)) == 1000, "the watch has overtaken it"


def test_a_model_that_is_deleted_does_not_live_on_in_the_answer_to_a_write(cluster):
    cache = Cache(cluster.indices)
    key = model_key(DEFAULT, "placed")
    cache.remember("models", key, cache.subject(key))
    cluster.drop("models", "placed", DEFAULT)
    assert cache.subject(key) is None


def test_of_two_objects_under_one_key_the_newer_counts(cluster):
    key = model_key(DEFAULT, "placed")
    old = cluster.indices["models"][key][0]
    new = {**old, "metadata": {**old["metadata"], "uid": "new", "resourceVersion": "5000"}}
    cluster.indices["models"][key] = [new, old]
    assert Cache(cluster.indices).subject(key)["metadata"]["uid"] == "new"


def test_what_is_kept_of_an_object_has_no_managed_fields():
    body = node_object()
    body["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    body["metadata"]["annotations"] = {"large": "x" * 1000}
    for index, watched in WATCHED.items():
        assert "managedFields" not in watched.trim(body)["metadata"], index
