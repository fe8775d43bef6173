"""The container that fetches: what it mounts that no other does, and what it may do."""

import pytest

from ferryman.api import names
from ferryman.api.conditions import Reason
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.api.model_fetch import FetchCache, FetchSpec
from ferryman.api.pods.pod_settings import ModelPodSettings
from ferryman.core import render
from ferryman.core.errors import RejectedError
from ferryman.core.fetching.task import TASKS_ENV, decode
from ferryman.core.render.slots import SOLE, ServedModel, slot
from tests import factories

IMAGE = "ferryman.dev/ferryman:1"
STATED = FetchSpec(
    secret_name="model-source-minio",  # noqa: S106  a name
    ca_config_map_name="our-ca",
    endpoint="https://minio.example:9000",
    size_limit="3Gi",
    deadline_seconds=60,
    sha256="a" * 64,
)
S3 = ServedModel("m", "s3://models/m", fetch=STATED, config={"name": "m"})


def rendered(*models, image=IMAGE, **spec):
    serving = render.Serving(
        served=factories.model("m", **spec),
        models=models,
        entry=factories.runtime_processor(),
        node_type="cpu-small",
        preferred_node=None,
        pull_policy="Always",
        control_key="secret",
        environment=render.Environment("ferryman-system", image=image),
    )
    return {each["kind"]: each["spec"] for each in render.render(serving, repr) if "spec" in each}


def pod(*models, **fields):
    return rendered(*models, **fields)["Deployment"]["template"]["spec"]


def mounts(container):
    return {each["name"]: each for each in container["volumeMounts"]}


def test_it_comes_before_everything_else_and_has_no_rights():
    spec = pod(S3)
    fetch, layout = spec["initContainers"][:2]
    assert (fetch["name"], layout["name"]) == (names.CONTAINER_FETCH, names.CONTAINER_LAYOUT)
    assert (fetch["image"], fetch["imagePullPolicy"]) == (IMAGE, "Always")
    assert fetch["securityContext"] == layout["securityContext"]
    assert fetch["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False


def test_what_it_is_told():
    (task,) = decode(pod(S3)["initContainers"][0]["env"][0]["value"])
    assert (task.uri, task.into, task.max_bytes) == ("s3://models/m", "/model", 3 * 1024**3)
    assert (task.deadline_s, task.sha256) == (60, "a" * 64)
    assert task.endpoint == "https://minio.example:9000"
    assert task.secret == "/run/ferryman/fetch/secret-model"  # noqa: S105  a path
    assert task.ca == "/run/ferryman/fetch/ca-model/ca.crt"
    assert task.identity is False


def test_it_alone_mounts_secret_and_authorities_and_writes_the_files():
    spec = pod(S3)
    fetch, *others = [*spec["initContainers"], *spec["containers"]]
    assert "readOnly" not in mounts(fetch)["model"]
    assert mounts(fetch)["secret-model"]["readOnly"] is True
    for container in others:
        assert mounts(container).get("model", {"readOnly": True})["readOnly"] is True
        assert not {"secret-model", "ca-model"} & set(mounts(container))
        assert TASKS_ENV not in [each["name"] for each in container.get("env", ())]
    volumes = {each.pop("name"): each for each in spec["volumes"]}
    assert volumes["model"] == {"emptyDir": {"sizeLimit": "3Gi"}}
    assert volumes["secret-model"]["secret"] == {
        "secretName": "model-source-minio",
        "optional": True,
    }
    assert volumes["ca-model"]["configMap"]["name"] == "our-ca"


def test_a_service_account_of_its_own_may_be_known_to_a_cloud():
    spec = pod(S3, pod=ModelPodSettings(service_account_name="reader"))
    assert decode(spec["initContainers"][0]["env"][0]["value"])[0].identity is True
    assert spec["automountServiceAccountToken"] is False


def test_with_the_live_cap_it_is_still_the_first():
    capped = ServedModel("m", "https://h/m", config={}, live_cap=RuntimeLiveCap(library="/l.so"))
    found = [each["name"] for each in pod(capped)["initContainers"]]
    assert found == [names.CONTAINER_FETCH, names.CONTAINER_LAYOUT, names.CONTAINER_LIVE_CAP]


def test_several_models_share_one_container():
    models = (
        ServedModel("a", "hf://org/a", slot("a"), config={}),
        ServedModel("b", "pvc://claim/b", slot("b"), config={}),
        ServedModel("c", "gs://bucket/c", slot("c"), fetch=STATED, config={}),
    )
    spec = pod(*models)
    fetch = spec["initContainers"][0]
    assert [each["name"] for each in spec["initContainers"]].count(names.CONTAINER_FETCH) == 1
    assert [each.into for each in decode(fetch["env"][0]["value"])] == ["/model/a", "/model/c"]
    assert set(mounts(fetch)) == {"model-a", "model-c", "secret-model-c", "ca-model-c"}


def test_what_is_mounted_needs_no_container_and_no_way_out():
    made = rendered(ServedModel("m", "oci://m", config={}))
    containers = made["Deployment"]["template"]["spec"]["initContainers"]
    assert [each["name"] for each in containers] == [names.CONTAINER_LAYOUT]
    assert "egress" not in made["NetworkPolicy"]


def test_pods_reach_the_source_and_never_the_nodes_credentials():
    outward, dns = rendered(S3)["NetworkPolicy"]["egress"]
    assert outward["ports"] == [{"protocol": "TCP", "port": 9000}]
    blocks = [each["ipBlock"] for each in outward["to"] if "ipBlock" in each]
    assert "169.254.0.0/16" in blocks[0]["except"]
    assert [each["port"] for each in dns["ports"]] == [53, 53]


def test_an_operator_that_does_not_know_its_image_says_so():
    with pytest.raises(RejectedError, match="--image") as refused:
        pod(S3, image="")
    assert refused.value.reason == Reason.INVALID_SPEC


CACHED = STATED.with_(cache=FetchCache(claim_name="models", size_limit="1Gi"))


def test_a_cache_is_mounted_where_files_are_fetched_and_nowhere_else():
    spec = pod(ServedModel("m", "s3://models/m", fetch=CACHED, config={}))
    fetch, *others = [*spec["initContainers"], *spec["containers"]]
    (task,) = decode(fetch["env"][0]["value"])
    assert (task.cache, task.cache_bytes) == ("/run/ferryman/fetch/cache-0", 1024**3)
    assert mounts(fetch)["cache-0"] == {"name": "cache-0", "mountPath": task.cache}
    assert not any("cache-0" in mounts(container) for container in others)
    claims = [each["persistentVolumeClaim"] for each in spec["volumes"] if "cache-" in each["name"]]
    assert claims == [{"claimName": "models"}]


def test_a_claim_of_several_models_is_mounted_once():
    """A kubelet waits forever for a second volume of the same claim."""
    other = CACHED.with_(cache=FetchCache(claim_name="less"))
    models = [
        ServedModel(name, f"s3://models/{name}", slot(name), fetch=fetch, config={})
        for name, fetch in (("a", CACHED), ("b", other), ("c", CACHED), ("d", STATED))
    ]
    fetch = pod(*models)["initContainers"][0]
    tasks = decode(fetch["env"][0]["value"])
    assert [each.cache[-7:] for each in tasks] == ["cache-1", "cache-0", "cache-1", ""]
    assert {"cache-0", "cache-1"} == {name for name in mounts(fetch) if name.startswith("cache-")}


def test_dollars_are_not_expanded():
    stated = ServedModel("m", "https://h/$(X)", SOLE, config={})
    assert "$$(X)" in pod(stated)["initContainers"][0]["env"][0]["value"]


def test_a_claim_of_models_is_no_cache():
    models = (
        ServedModel("a", "s3://models/a", slot("a"), fetch=CACHED, config={}),
        ServedModel("b", "pvc://models/b", slot("b"), config={}),
    )
    with pytest.raises(RejectedError, match=r"the claim models holds models .*another one") as why:
        pod(*models)
    assert why.value.reason == Reason.INVALID_SPEC
