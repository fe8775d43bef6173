"""The chart and the kustomize base install the same objects, and the chart refuses nonsense."""

import json
import re

import pytest
import yaml

from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.pod_settings import PodSecurity
from hack.cluster import binaries
from hack.cluster.shell import ClusterError, run
from hack.images.recipes import RECIPES
from hack.installation import parse
from hack.manifests import NAMESPACE, ROOT, render_chart

pytestmark = pytest.mark.integration

#: How each way says that CRDs outlive the installation.
KEEP = "helm.sh/resource-policy"
KEPT_BY_GITOPS = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}


def kustomize(folder: str) -> list[dict]:
    kubectl = binaries.ensure("kubectl")["kubectl"]
    return parse(run(kubectl, "kustomize", ROOT / folder))


def by_identity(objects: list[dict]) -> dict[tuple[str, str], dict]:
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def test_both_ways_install_the_same_objects():
    charted = by_identity(render_chart())
    kustomized = by_identity(kustomize("manifests/base"))
    del kustomized["Namespace", NAMESPACE]
    for (kind, name), item in charted.items():
        if kind == "CustomResourceDefinition":
            assert item["metadata"].pop("annotations") == {KEEP: "keep"}
            assert kustomized[kind, name]["metadata"].pop("annotations") == KEPT_BY_GITOPS

    assert charted.keys() == kustomized.keys()
    for identity, item in charted.items():
        assert item == kustomized[identity], identity


def test_crds_can_be_left_to_someone_else():
    kinds = {item["kind"] for item in render_chart("--set", "crds.enabled=false")}

    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


def test_crds_outlive_the_release_unless_told_otherwise():
    def policies(*arguments):
        return {
            (item["metadata"].get("annotations") or {}).get(KEEP)
            for item in render_chart(*arguments)
            if item["kind"] == "CustomResourceDefinition"
        }

    assert policies() == {"keep"}
    assert policies("--set", "crds.keep=false") == {None}


def test_a_digest_wins_over_the_tag():
    digest = f"sha256:{'a' * 64}"
    operator = by_identity(render_chart("--set", f"image.digest={digest}"))[
        "Deployment", "ferryman-operator"
    ]
    container = operator["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}

    assert container["image"] == environment["FERRYMAN_IMAGE"] == f"ferryman.dev/ferryman@{digest}"


def test_the_dev_overlay_benchmarks_with_the_image_that_it_runs():
    objects = by_identity(kustomize("manifests/overlays/dev"))
    operator = objects["Deployment", "ferryman-operator"]
    container = operator["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}

    assert container["image"] == environment["FERRYMAN_IMAGE"] == RECIPES["operator"].tag
    assert set(objects["ConfigMap", "ferryman-runtimes"]["data"]) == {"triton-cpu.yaml"}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        pytest.param("", {"kubernetes.io/os": "linux"}, id="Linux alone"),
        pytest.param(
            "disk=ssd", {"kubernetes.io/os": "linux", "disk": "ssd"}, id="what is set is added"
        ),
        pytest.param(r"kubernetes\.io/os=plan9", {"kubernetes.io/os": "plan9"}, id="it is yours"),
        pytest.param(r"kubernetes\.io/os=null", None, id="it can be taken out"),
    ],
)
@pytest.mark.parametrize("part", ["operator", "agent"])
def test_pods_go_to_linux_nodes_unless_told_otherwise(part, setting, expected):
    arguments = ["--set", f"{part}.nodeSelector.{setting}"] if setting else []
    objects = by_identity(render_chart(*arguments))
    kind = "Deployment" if part == "operator" else "DaemonSet"
    pod = objects[kind, f"ferryman-{part}"]["spec"]["template"]["spec"]

    assert pod.get("nodeSelector") == expected


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        pytest.param(None, {"unreachable": 0, "not-ready": 5}, id="by default"),
        pytest.param(
            {"key": "team", "operator": "Exists"},
            {"unreachable": 0, "not-ready": 5},
            id="beside what is tolerated otherwise",
        ),
        pytest.param(
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"},
            {"unreachable": 0, "not-ready": 5},
            id="beside another effect of the same taint",
        ),
        pytest.param(
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 90},
            {"unreachable": 0, "not-ready": 90},
            id="unless its owner says how long it stays",
        ),
        pytest.param({"operator": "Exists"}, {}, id="unless its owner has it stay for ever"),
    ],
)
def test_the_operator_leaves_a_node_that_died_in_seconds(stated, expected):
    arguments = (
        [] if stated is None else ["--set-json", f"operator.tolerations={json.dumps([stated])}"]
    )
    objects = by_identity(render_chart(*arguments))
    spec = objects["Deployment", "ferryman-operator"]["spec"]["template"]["spec"]
    stays = {
        each["key"].rpartition("/")[2]: each["tolerationSeconds"]
        for each in spec["tolerations"]
        if "tolerationSeconds" in each
    }

    assert stays == expected
    assert stated is None or stated in spec["tolerations"]


def test_the_user_of_operator_and_agent_can_be_left_to_the_namespace():
    def users(*arguments):
        pods = [
            item["spec"]["template"]["spec"]
            for item in render_chart(*arguments)
            if item["kind"] in {"Deployment", "DaemonSet"}
        ]
        assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)
        return {pod["securityContext"].get("runAsUser") for pod in pods}

    null = "podSecurityContext.runAsUser=null,podSecurityContext.runAsGroup=null"
    assert users() == {65532}
    assert users("--set", null) == {None}
    assert users("--set", "podSecurityContext=null") == {None}


def test_a_shipped_runtime_says_what_its_values_say_of_pods():
    user = "runtimes.triton-cpu.pod.securityContext.user=Namespace"
    runtimes = by_identity(render_chart("--set", user))["ConfigMap", "ferryman-runtimes"]["data"]
    runtime = InferenceRuntime.model_validate(yaml.safe_load(runtimes["triton-cpu.yaml"]))

    assert runtime.spec.pod.security_context == PodSecurity(user="Namespace")


def images(objects: list[dict]) -> set[str]:
    """Return every image of Ferryman's that workloads or the runtimes beside them name."""
    installed = [item for item in objects if item["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(installed, width=10_000)
    return set(
        re.findall(r"(?:oci://)?([\w./:-]+/(?:ferryman|triton-cpu|models/resnet50):[\w.]+)", text)
    )


@pytest.mark.parametrize(
    "render",
    [
        pytest.param(render_chart, id="the chart"),
        pytest.param(lambda: kustomize("manifests/base"), id="the base"),
        pytest.param(lambda: kustomize("manifests/overlays/dev"), id="the dev overlay"),
    ],
)
def test_what_is_installed_is_what_make_images_builds(render):
    built = {RECIPES[name].tag for name in ("operator", "triton-cpu", "resnet50")}

    assert images(render()) == built


def test_one_value_names_the_registry_of_all_images():
    registry = "registry.example:5000/team"
    built = {RECIPES[name].tag for name in ("operator", "triton-cpu", "resnet50")}
    pushed = {tag.replace("ferryman.dev", registry) for tag in built}

    assert images(render_chart("--set", f"registry={registry}")) == pushed


def test_on_one_machine_nothing_is_installed_that_would_be_pulled():
    objects = by_identity(render_chart("--values", str(ROOT / "charts/ferryman/values-local.yaml")))

    assert set(objects["ConfigMap", "ferryman-runtimes"]["data"]) == {"triton-cpu.yaml"}


def test_other_runtimes_restart_the_operator():
    def digest(*arguments):
        operator = by_identity(render_chart(*arguments))["Deployment", "ferryman-operator"]
        return operator["spec"]["template"]["metadata"]["annotations"]

    assert digest() != digest("--set", "runtimes.triton.enabled=false")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param("image.digest=sha256:abc", "digest", id="a digest that is none"),
        pytest.param("image.pullPolicy=Sometimes", "pullPolicy", id="an unknown pull policy"),
        pytest.param("runtimes.other.enabled=true", "other", id="a runtime the chart lacks"),
        pytest.param("crds.enable=true", "enable", id="a misspelt value"),
        pytest.param("registry=oci://registry.example", "registry", id="a registry with a scheme"),
        pytest.param(
            "registry=registry.example/", "registry", id="a registry that ends in a slash"
        ),
        pytest.param("operator.logLevel=loud", "logLevel", id="an unknown log level"),
    ],
)
def test_the_values_schema_refuses(setting, words):
    with pytest.raises(ClusterError, match=words):
        render_chart("--set", setting)


def test_no_rule_lets_anyone_list_secrets_or_use_wildcards():
    for item in render_chart():
        for rule in item.get("rules", []) if "Role" in item["kind"] else []:
            assert "*" not in json.dumps(rule)
            if "secrets" in rule["resources"]:
                assert not {"list", "watch"} & set(rule["verbs"])
                assert "get" not in rule["verbs"] or rule["resourceNames"]


def test_of_leases_the_operator_reads_those_of_nodes_alone():
    granted = [
        (item["kind"], item["metadata"].get("namespace"), rule)
        for item in render_chart()
        for rule in (item.get("rules", []) if "Role" in item["kind"] else [])
        if "coordination.k8s.io" in rule["apiGroups"]
    ]

    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]}
    assert granted == [("Role", "kube-node-lease", rule)]
