"""The serving objects: what they contain, and that they are the same for the same input."""

import base64
import hashlib
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ferryman.api import names
from ferryman.api.access import AccessSpec, Peer
from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec, ResourceRequirements
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.api.pods.pod_settings import EnvironmentVariable
from ferryman.api.pods.scheduling import NodeRequirement, Toleration
from ferryman.core import render
from ferryman.core.errors import RejectedError
from ferryman.core.render import pod
from ferryman.core.render.layout import layout_script
from ferryman.core.render.slots import ServedModel
from ferryman.core.triton import config as triton_config
from tests import factories

M = ServedModel("m", "oci://m")


def serving(
    *, size=8, config=None, preferred_node="node-1", uri=None, entry=None, live_cap=None, **spec
):
    source = factories.source(config=config or {}, **({"uri": uri} if uri else {}))
    model = factories.model(model=source, **spec)
    entry = entry or factories.runtime_processor()
    batching = Batching(max_batch_size=size)
    served = ServedModel(
        name=model.triton_name,
        storage_uri=source.storage_uri,
        live_cap=live_cap,
        config=triton_config.model_config("resnet50", entry, source, batching),
        untuned_config=triton_config.untuned("resnet50", model.spec.batching, entry, source),
    )
    return render.Serving(
        served=model,
        models=(served,),
        entry=entry,
        node_type="cpu-small",
        preferred_node=preferred_node,
        pull_policy="IfNotPresent",
        control_key="secret",
        environment=render.Environment("ferryman-system"),
    )


def rendered(**fields):
    return {o["kind"]: o for o in render.render(serving(**fields), repr)}


def pod_spec(**fields):
    return rendered(**fields)["Deployment"]["spec"]["template"]["spec"]


def test_what_pods_need_comes_before_the_deployment():
    kinds = [o["kind"] for o in render.render(serving(), repr)]
    assert kinds == [
        "Secret",
        "ConfigMap",
        "NetworkPolicy",
        "Service",
        "PodDisruptionBudget",
        "Deployment",
    ]


def test_pods_are_evicted_one_at_a_time_and_those_that_serve_nobody_at_will():
    made = rendered()
    budget, deployment = made["PodDisruptionBudget"]["spec"], made["Deployment"]["spec"]
    assert budget == {
        "maxUnavailable": 1,
        "selector": deployment["selector"],
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


@pytest.mark.parametrize("manifest", render.render(serving(), repr), ids=lambda o: o["kind"])
def test_every_object_is_named_labelled_and_owned(manifest):
    assert list(manifest)[:2] == ["apiVersion", "kind"]
    assert manifest["metadata"] == {
        "name": "resnet50-triton",
        "namespace": "default",
        "labels": {
            "app.kubernetes.io/name": "resnet50",
            "app.kubernetes.io/managed-by": "ferryman",
            "serving.ferryman.dev/model": "resnet50",
        },
        "ownerReferences": [
            {
                "apiVersion": "serving.ferryman.dev/v1alpha1",
                "kind": "InferenceModel",
                "name": "resnet50",
                "uid": "uid-resnet50",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def test_the_control_key_reaches_triton_through_the_secret_alone():
    objects = rendered()
    assert base64.b64decode(objects["Secret"]["data"]["key"]) == b"secret"
    triton = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    reference = {"secretKeyRef": {"name": "resnet50-triton", "key": "key"}}
    assert triton["env"] == [{"name": names.CONTROL_KEY_ENV, "valueFrom": reference}]
    assert "secret" not in json.dumps(triton["args"])
    assert not [a for a in triton["args"] if "$(" in a], "Kubernetes would write it there"


def locks(key):
    """Run what starts the server, with the printing of its arguments in the server's place."""
    shell, option, script, server = pod_spec()["containers"][0]["command"]
    assert server == "tritonserver"
    report = 'printf "%s\\n" "$@"; env | grep -c CONTROL_KEY'
    command = [shell, option, script, "sh", "-c", report, "sh", "--first"]
    ran = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **({"FERRYMAN_CONTROL_KEY": key} if key else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran, ran.stdout.splitlines()


def test_grpc_takes_the_key_and_http_one_that_nobody_has():
    (_, [first, http, grpc, variables]), (_, [_, again, *_]) = locks("k-1"), locks("k-1")
    restricted = f"{names.RESTRICTED_APIS}:ferryman-control-key"
    assert first == "--first"
    assert grpc == f"--grpc-restricted-protocol={restricted}=k-1"
    assert http.startswith(f"--http-restricted-api={restricted}=")
    assert "k-1" not in http
    assert http != again, "it is another one at each start"
    assert variables == "0", "the server's children see no key in their environment"


def test_a_server_without_its_key_does_not_start():
    ran, said = locks(None)
    assert ran.returncode != 0
    assert said == []


def test_another_control_key_rolls_the_pods_and_is_not_told():
    def template(key):
        objects = render.render(replace(serving(), control_key=key), repr)
        return next(o for o in objects if o["kind"] == "Deployment")["spec"]["template"]

    assert template("one") == template("one")
    assert template("one") != template("other")
    assert "hushhush" not in json.dumps(template("hushhush"))


def test_what_pods_write_to_their_nodes_disk_is_limited():
    volumes = {each["name"]: each for each in pod_spec()["volumes"]}
    on_disk = [
        each["emptyDir"]
        for each in volumes.values()
        if "medium" not in each.get("emptyDir", {"medium": ""})
    ]
    assert [each["sizeLimit"] for each in on_disk] == ["64Mi", "16Gi"]


def test_a_triton_without_control_key_locks_nothing():
    triton = pod.triton_container([M], factories.runtime_processor())
    assert triton["env"] == []
    assert not [a for a in triton["args"] if "restricted" in a]


def test_whom_the_model_and_whom_the_installation_admits_may_send_requests():
    web, mesh = (Peer(namespaces={"team": name}) for name in ("web", "mesh"))
    stated = serving(access=AccessSpec(from_=(web,)))
    access = AccessSpec(from_=(web, mesh))
    stated = replace(stated, environment=replace(stated.environment, access=access))
    [policy] = [o for o in render.render(stated, repr) if o["kind"] == "NetworkPolicy"]
    assert policy["spec"]["ingress"][0]["from"] == [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "web"}}},
        {"namespaceSelector": {"matchLabels": {"team": "mesh"}}},
    ]


def test_the_service_offers_http_and_grpc():
    spec = rendered()["Service"]["spec"]
    assert [(port["name"], port["port"]) for port in spec["ports"]] == [
        ("http", 8000),
        ("grpc", 8001),
    ]
    assert spec["selector"] == {"serving.ferryman.dev/model": "resnet50"}


def test_the_address_is_that_of_the_service():
    assert render.url(factories.model().key, "resnet50") == (
        "http://resnet50-triton.default.svc:8000/v2/models/resnet50"
    )


def test_tuning_changes_the_config_map_and_rolls_no_pod():
    before, after = rendered(size=8), rendered(size=16)
    assert before["ConfigMap"] != after["ConfigMap"]
    assert before["Deployment"] == after["Deployment"]


def test_another_overlay_rolls_the_pods():
    other = rendered(config={"parameters": {"k": {"string_value": "v"}}})
    assert rendered()["Deployment"] != other["Deployment"]


def test_the_node_type_is_required_and_the_node_preferred():
    affinity = pod_spec()["affinity"]["nodeAffinity"]
    assert affinity == {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {"key": names.LABEL_NODE_TYPE, "operator": "In", "values": ["cpu-small"]}
                    ]
                }
            ]
        },
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 50,
                "preference": {
                    "matchFields": [
                        {"key": "metadata.name", "operator": "In", "values": ["node-1"]}
                    ]
                },
            }
        ],
    }


def test_what_the_model_selects_and_tolerates_is_asked_of_the_scheduler():
    gpu = Toleration(key="nvidia.com/gpu", operator="Exists")
    own = Toleration(key="team", value="vision", effect="NoSchedule")
    spec = pod_spec(
        placement=PlacementSpec(
            node_selector={"zone": "a"},
            node_affinity=(NodeRequirement(key="spot", operator="DoesNotExist"),),
            tolerations=(own,),
        ),
        entry=factories.runtime_processor(tolerations=(gpu,)),
    )
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = required["nodeSelectorTerms"]
    assert term["matchExpressions"][1:] == [
        {"key": "zone", "operator": "In", "values": ["a"]},
        {"key": "spot", "operator": "DoesNotExist", "values": []},
    ]
    assert [each["key"] for each in spec["tolerations"]][:2] == ["nvidia.com/gpu", "team"]


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        pytest.param(PlacementSpec(), {"kubernetes.io/os": "linux"}, id="Linux by default"),
        pytest.param(
            PlacementSpec(node_selector={"zone": "a"}),
            {"kubernetes.io/os": "linux"},
            id="beside what else is selected",
        ),
        pytest.param(
            PlacementSpec(node_selector={"kubernetes.io/os": "plan9"}), None, id="but what is asked"
        ),
        pytest.param(
            PlacementSpec(
                node_affinity=(
                    NodeRequirement(key="kubernetes.io/os", operator="In", values=("plan9",)),
                )
            ),
            None,
            id="in whichever words it is asked",
        ),
    ],
)
def test_pods_go_to_linux_nodes_unless_the_owner_says_otherwise(placement, expected):
    assert pod_spec(placement=placement).get("nodeSelector") == expected


def test_without_a_preferred_node_none_is_preferred():
    affinity = pod_spec(preferred_node=None)["affinity"]["nodeAffinity"]
    assert list(affinity) == ["requiredDuringSchedulingIgnoredDuringExecution"]


def test_pods_run_with_the_least_rights():
    spec = pod_spec()
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }


def test_a_slow_model_load_is_given_an_hour():
    startup = pod_spec()["containers"][0]["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 3600
    assert startup["httpGet"]["path"] == "/v2/health/live"


def test_readiness_is_the_models_own():
    readiness = pod_spec()["containers"][0]["readinessProbe"]
    assert readiness["httpGet"]["path"] == "/v2/models/resnet50/ready"
    assert readiness["failureThreshold"] == 3


GPU = factories.runtime_processor("gpu")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param(
            None,
            {
                "requests": {"cpu": "500m", "memory": "512Mi"},
                "limits": {"nvidia.com/gpu": 1},
            },
            id="the runtime's resources and one device",
        ),
        pytest.param(
            ResourceRequirements(limits={"cpu": 2, "nvidia.com/gpu": 2}),
            {"limits": {"cpu": 2, "nvidia.com/gpu": 2}},
            id="the model's own instead, devices too",
        ),
    ],
)
def test_resources(resources, expected):
    spec = pod_spec(entry=GPU, resources=resources)
    assert spec["containers"][0]["resources"] == expected
    layout = spec["initContainers"][0]["resources"]
    assert "nvidia.com/gpu" not in str(layout)


def test_servers_listen_on_the_family_that_pods_have_first():
    """IPv6 in the options that Triton 2.51 was seen to take; nothing is said of IPv4."""
    here = render.Environment("ferryman-system", ipv6=True)
    six = replace(serving(), environment=here)
    found = {o["kind"]: o for o in render.render(six, repr)}
    asked = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [a for a in asked if "address" in a] == ["--http-address=ipv6:::", "--grpc-address=[::]"]
    assert not [a for a in pod_spec()["containers"][0]["args"] if "address" in a]
    assert found["Service"] == rendered()["Service"]


def test_an_address_that_the_runtime_states_comes_after_ours():
    entry = factories.runtime_processor(args=("--http-address=ipv6:::1",))
    triton = pod.triton_container([M], entry, ipv6=True)
    assert triton["args"][-2:] == ["--grpc-address=[::]", "--http-address=ipv6:::1"]


def test_the_runtimes_environment_and_arguments_come_last():
    entry = factories.runtime_processor(
        env=(EnvironmentVariable(name="OMP_NUM_THREADS", value="2"),), args=("--log-info=false",)
    )
    triton = pod_spec(entry=entry)["containers"][0]
    assert triton["env"][-1] == {"name": "OMP_NUM_THREADS", "value": "2"}
    assert triton["args"][-1] == "--log-info=false"


@pytest.mark.parametrize(
    ("uri", "volume", "sub_path"),
    [
        pytest.param(
            "oci://registry.example/m@sha256:1",
            {"image": {"reference": "registry.example/m@sha256:1", "pullPolicy": "IfNotPresent"}},
            None,
            id="an image is an image volume",
        ),
        pytest.param(
            "pvc://models",
            {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
            None,
            id="a claim is mounted whole",
        ),
        pytest.param(
            "pvc://models/vision/resnet50/",
            {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
            "vision/resnet50",
            id="or the folder in it that is named",
        ),
    ],
)
def test_the_model_volume(uri, volume, sub_path):
    spec = pod_spec(uri=uri)
    assert spec["volumes"][0] == {"name": "model", **volume}
    for container in (*spec["initContainers"], *spec["containers"]):
        mount = next(m for m in container["volumeMounts"] if m["name"] == "model")
        assert (mount["readOnly"], mount.get("subPath")) == (True, sub_path)


@pytest.mark.parametrize("uri", ["file:///model", "oci://", "pvc:///path"])
def test_a_source_that_cannot_be_mounted_is_refused(uri):
    with pytest.raises(RejectedError, match="write oci://IMAGE, pvc://CLAIM/PATH") as caught:
        pod.volumes([ServedModel("m", uri)])
    assert caught.value.reason == Reason.INVALID_SPEC


def test_the_configuration_comes_from_the_config_map_or_inline():
    entry = factories.runtime_processor()
    mapped = pod.layout_container([M], entry)
    assert "config" in [mount["name"] for mount in mapped["volumeMounts"]]
    inline = pod.layout_container([M], entry, inline_config="a: $(B)")
    assert "config" not in [mount["name"] for mount in inline["volumeMounts"]]
    assert inline["env"][-1] == {"name": "FERRYMAN_CONFIG", "value": "a: $$(B)"}
    assert "config" not in [volume["name"] for volume in pod.volumes([M])]
    assert {"name": "config", "configMap": {"name": "c"}} in pod.volumes([M], config_map="c")


@pytest.fixture
def lay_out(tmp_path):
    """Run the layout script on folders of the test's own."""
    model, config, repository = tmp_path / "model", tmp_path / "config", tmp_path / "models"
    for folder in (model, config, repository):
        folder.mkdir()
    (config / "config.pbtxt").write_text("from the volume")
    script = layout_script([M])
    for path in (names.PATH_REPOSITORY, names.PATH_CONFIG, names.PATH_MODEL):
        script = re.sub(rf"(?<![\w$*/]){path}(?!\w)", str(tmp_path / path[1:]), script)

    def run(files, **environment):
        for file in files:
            (model / file).parent.mkdir(parents=True, exist_ok=True)
            (model / file).write_text(file)
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            env={"PATH": os.environ["PATH"], "FERRYMAN_MODEL": "m", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        laid = repository / "m"
        found = [Path(top) / f for top, _, fs in os.walk(laid, followlinks=True) for f in fs]
        return done, {str(f.relative_to(laid)): f.read_text() for f in found}

    return run


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(["model.onnx"], {"1/model.onnx"}, id="files become version 1"),
        pytest.param(
            ["model.onnx", "data/weights"],
            {"1/model.onnx", "1/data/weights"},
            id="with the folders beside them",
        ),
        pytest.param(
            ["1/model.onnx", "12/model.onnx", "labels.txt"],
            {"1/model.onnx", "12/model.onnx", "labels.txt"},
            id="version folders stay versions, labels stay beside them",
        ),
        pytest.param(["007/model.onnx"], {"1/007/model.onnx"}, id="Triton takes no leading zeros"),
        pytest.param(["3"], {"1/3"}, id="a file is no version, whatever its name"),
        pytest.param(
            ["model.onnx", "config.pbtxt", "lost+found/x"],
            {"1/model.onnx"},
            id="a config.pbtxt in the volume does not count, nor what a file system left there",
        ),
    ],
)
def test_layout(lay_out, files, expected):
    done, laid = lay_out(files)
    assert done.returncode == 0, done.stderr
    assert laid.pop("config.pbtxt") == "from the volume"
    assert set(laid) == expected


def test_layout_takes_the_inline_configuration_byte_for_byte(lay_out):
    text = 'parameters { key: "a" value: "$HOME `id` %s \\n" }\n'
    _, laid = lay_out(["model.onnx"], FERRYMAN_CONFIG=text)
    assert laid["config.pbtxt"] == text


def test_layout_can_be_repeated(lay_out):
    lay_out(["model.onnx"])
    done, laid = lay_out(["1/model.onnx"])
    assert done.returncode == 0, done.stderr
    assert "1/model.onnx" in laid


@pytest.mark.parametrize("files", [[], ["config.pbtxt"], ["lost+found/x"]])
def test_layout_of_an_empty_volume_says_what_to_do(lay_out, files):
    done, _ = lay_out(files)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "the model volume is empty: put the model's files, or numbered version folders, at its top"
    )


LIBRARY = "/usr/local/lib/ferryman/batchstrategy.so"


def test_a_live_cap_brings_the_annotation_as_a_file_and_the_library_into_the_models_folder():
    spec = pod_spec(live_cap=RuntimeLiveCap(library=LIBRARY))
    item = {
        "path": "max-batch-size",
        "fieldRef": {
            "apiVersion": "v1",
            "fieldPath": "metadata.annotations['serving.ferryman.dev/max-batch-size']",
        },
    }
    assert spec["volumes"][-1] == {"name": "live-cap", "downwardAPI": {"items": [item]}}
    mount = spec["containers"][0]["volumeMounts"][-1]
    assert mount == {"name": "live-cap", "mountPath": "/live-cap", "readOnly": True}
    layout, copying = spec["initContainers"]
    assert layout["env"][-1] == {"name": "FERRYMAN_LIVE_CAP", "value": "1"}
    assert copying["command"] == ["cp", LIBRARY, "/models/resnet50/batchstrategy.so"]
    assert copying["image"] == layout["image"] == factories.CPU_IMAGE
    assert copying["volumeMounts"] == [{"name": "repository", "mountPath": "/models"}]
    for key in ("imagePullPolicy", "resources", "securityContext"):
        assert copying[key] == layout[key]


def test_the_live_cap_may_come_from_another_image():
    spec = pod_spec(live_cap=RuntimeLiveCap(library=LIBRARY, image="ferryman:1"))
    assert [c["image"] for c in spec["initContainers"]] == [factories.CPU_IMAGE, "ferryman:1"]


def test_without_a_live_cap_nothing_of_it_is_rendered():
    spec = pod_spec()
    assert "live-cap" not in repr(spec)
    assert [c["name"] for c in spec["initContainers"]] == ["layout"]


def test_pods_roll_when_the_live_cap_of_the_runtime_changes_and_not_with_the_bound():
    caps = [None, RuntimeLiveCap(library=LIBRARY), RuntimeLiveCap(library="/other.so")]
    templates = [repr(rendered(live_cap=cap)["Deployment"]["spec"]["template"]) for cap in caps]
    assert len(set(templates)) == 3
    larger = rendered(live_cap=caps[1], size=16)["Deployment"]["spec"]["template"]
    assert repr(larger) == templates[1]


@pytest.mark.parametrize("file", ["1/batchstrategy.so", "batchstrategy.so"])
def test_a_strategy_in_the_model_volume_is_not_overruled_in_silence(lay_out, file):
    done, _ = lay_out(["1/model.onnx", file], FERRYMAN_LIVE_CAP="1")
    assert done.returncode == 1
    assert "state TRITON_BATCH_STRATEGY_PATH in spec.model.config" in done.stderr


def test_without_a_live_cap_a_strategy_in_the_model_volume_is_tritons_matter(lay_out):
    done, laid = lay_out(["1/model.onnx", "1/batchstrategy.so"])
    assert done.returncode == 0, done.stderr
    assert "1/batchstrategy.so" in laid


def test_a_model_without_a_strategy_of_its_own_is_laid_out_for_a_live_cap(lay_out):
    done, laid = lay_out(["1/model.onnx"], FERRYMAN_LIVE_CAP="1")
    assert done.returncode == 0, done.stderr
    assert set(laid) == {"1/model.onnx", "config.pbtxt"}


CAP = RuntimeLiveCap(library=LIBRARY, image="ferryman:1")


@pytest.mark.parametrize(
    ("fields", "digest"),
    [
        pytest.param({}, "8d218b8a82ea559c", id="plain"),
        pytest.param(
            {"uri": "pvc://models/a", "live_cap": CAP},
            "f962c3a30bd8507c",
            id="on a claim, with a live cap",
        ),
        pytest.param({"entry": GPU, "preferred_node": None}, "f1af647591ca55c6", id="on a GPU"),
    ],
)
def test_the_pods_of_a_model_are_made_of_what_they_were(fields, digest):
    """A new digest means that an upgrade of the operator rolls the pods of all models."""
    template = rendered(**fields)["Deployment"]["spec"]["template"]
    text = json.dumps(template, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest
