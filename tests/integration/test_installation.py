"""The chart and the kustomize base install the same objects, and the chart refuses nonsense."""

import json
import re
import shutil

import pytest
import yaml

from ferryman.api import names
from ferryman.api.access import AccessSpec, Peer
from ferryman.api.inference_model import InferenceModelSpec
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.pods.pod_settings import PodSecurity
from hack.cluster import binaries
from hack.cluster.shell import ClusterError, run
from hack.images.recipes import RECIPES
from hack.manifests import CHART, NAMESPACE, ROOT, load_all, render_chart

pytestmark = pytest.mark.integration

#: How each way says that CRDs outlive the installation.
KEEP = "helm.sh/resource-policy"
KEPT_BY_GITOPS = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}


def kustomize(folder: str) -> list[dict]:
    kubectl = binaries.ensure("kubectl")["kubectl"]
    return load_all(run(kubectl, "kustomize", ROOT / folder))


def render(*arguments: str) -> list[dict]:
    """Return the chart's objects but for the CRDs, which are most of it and always the same."""
    return render_chart("--set", "crds.enabled=false", *arguments)


def by_identity(objects: list[dict]) -> dict[tuple[str, str], dict]:
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def test_both_ways_install_the_same_objects():
    charted = by_identity(render_chart("--skip-tests"))
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
    operator = by_identity(render("--set", f"image.digest={digest}"))[
        "Deployment", "ferryman-operator"
    ]
    container = operator["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}

    assert container["image"] == environment["FERRYMAN_IMAGE"] == f"ferryman.dev/ferryman@{digest}"


def own_images(objects):
    """Return the operator's image, that of what it makes, and the one that may see Secrets."""
    objects = by_identity(objects)
    operator = objects["Deployment", "ferryman-operator"]
    container = operator["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    policy = objects["ValidatingAdmissionPolicy", "ferryman-operator-templates"]
    (admitted,) = (
        each["expression"] for each in policy["spec"]["variables"] if each["name"] == "image"
    )
    return container["image"], environment["FERRYMAN_IMAGE"], admitted.strip("'")


def test_the_dev_overlay_benchmarks_and_fetches_with_the_image_that_it_runs():
    objects = kustomize("manifests/overlays/dev")

    assert set(own_images(objects)) == {RECIPES["operator"].tag}
    runtimes = by_identity(objects)["ConfigMap", "ferryman-runtimes"]
    assert set(runtimes["data"]) == {"triton-cpu.yaml"}


def test_an_image_of_ones_own_by_kustomize_is_the_one_that_may_fetch(tmp_path):
    """A copy of the overlay, as the installation page has people make one."""
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    shutil.copytree(ROOT / "crds", tmp_path / "crds")
    overlay = tmp_path / "manifests" / "overlays" / "dev" / "kustomization.yaml"
    mine = "registry.example:5000/team/ferryman"
    overlay.write_text(
        overlay.read_text().replace("newName: ferryman.dev/ferryman", f"newName: {mine}")
    )
    kubectl = binaries.ensure("kubectl")["kubectl"]
    objects = load_all(run(kubectl, "kustomize", overlay.parent))

    assert set(own_images(objects)) == {f"{mine}:{RECIPES['operator'].tag.rpartition(':')[2]}"}


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param("operator.extraArgs={--image=mine/ferryman:1}", id="an argument"),
        pytest.param(r"operator.extraArgs={--image,mine/ferryman:1}", id="in two words"),
        pytest.param("operator.extraArgs={--ima=mine/ferryman:1}", id="in short"),
        pytest.param("operator.extraEnv[0].name=FERRYMAN_IMAGE", id="a variable"),
    ],
)
def test_the_chart_names_the_image_once(setting):
    with pytest.raises(ClusterError, match=r"a second time.*set image\.repository"):
        render("--set", setting)


def test_other_arguments_are_the_operators_matter():
    arguments = ("--set", "operator.extraArgs={--host=::,--port=8080}")
    assert len(set(own_images(render(*arguments)))) == 1


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
    objects = by_identity(render(*arguments))
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
    objects = by_identity(render(*arguments))
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
            for item in render(*arguments)
            if item["kind"] in {"Deployment", "DaemonSet"}
        ]
        assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)
        return {pod["securityContext"].get("runAsUser") for pod in pods}

    null = "podSecurityContext.runAsUser=null,podSecurityContext.runAsGroup=null"
    assert users() == {65532}
    assert users("--set", null) == {None}
    assert users("--set", "podSecurityContext=null") == {None}


def test_a_shipped_runtime_says_what_its_values_say_of_pods():
    user = "runtimes.triton-cpu.enabled=true,runtimes.triton-cpu.pod.securityContext.user=Namespace"
    runtimes = by_identity(render("--set", user))["ConfigMap", "ferryman-runtimes"]["data"]
    runtime = InferenceRuntime.model_validate(yaml.safe_load(runtimes["triton-cpu.yaml"]))

    assert runtime.spec.pod.security_context == PodSecurity(user="Namespace")


def images(objects: list[dict]) -> set[str]:
    """Return every image of Ferryman's that workloads or the runtimes beside them name."""
    installed = [item for item in objects if item["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(installed, width=10_000)
    return set(
        re.findall(r"(?:oci://)?([\w./:-]+/(?:ferryman|triton-cpu|models/resnet50):[\w.]+)", text)
    )


BUILT = {RECIPES[name].tag for name in ("operator", "triton-cpu", "resnet50")}
LIGHT = RECIPES["triton-cpu"].tag


@pytest.mark.parametrize(
    ("render", "built"),
    [
        pytest.param(render_chart, BUILT - {LIGHT}, id="the chart"),
        pytest.param(lambda: kustomize("manifests/base"), BUILT - {LIGHT}, id="the base"),
        pytest.param(lambda: kustomize("manifests/overlays/dev"), BUILT, id="the dev overlay"),
    ],
)
def test_what_is_installed_is_what_make_images_builds(render, built):
    assert images(render()) == built


def test_one_value_names_the_registry_of_all_images():
    registry = "registry.example:5000/team"
    pushed = {tag.replace("ferryman.dev", registry) for tag in BUILT}
    values = f"registry={registry},runtimes.triton-cpu.enabled=true"

    assert images(render("--set", values)) == pushed


def test_on_one_machine_nothing_is_installed_that_would_be_pulled():
    objects = by_identity(render("--values", str(ROOT / "charts/ferryman/values-local.yaml")))

    assert set(objects["ConfigMap", "ferryman-runtimes"]["data"]) == {"triton-cpu.yaml"}


def test_the_operators_metrics_are_for_its_own_namespace_and_whom_a_value_names():
    def admitted(*arguments):
        policy = by_identity(render(*arguments))["NetworkPolicy", "ferryman-operator"]
        [rule] = policy["spec"]["ingress"]
        return rule["from"]

    monitoring = {"kubernetes.io/metadata.name": "monitoring"}
    selector = r"namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=monitoring"
    stated = admitted("--set", f"operator.metrics.from[0].{selector}")
    assert admitted() == [{"podSelector": {}}]
    assert stated == [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": monitoring}},
    ]


def test_the_operator_is_told_whom_to_admit_to_every_model():
    def told(*arguments):
        operator = by_identity(render(*arguments))["Deployment", "ferryman-operator"]
        [container] = operator["spec"]["template"]["spec"]["containers"]
        return [word for word in container["args"] if word.startswith("--access=")]

    [words] = told("--set", "access.from[0].namespaces.team=web")
    access = AccessSpec.model_validate_json(words.removeprefix("--access="))
    assert access == AccessSpec(from_=(Peer(namespaces={"team": "web"}),))
    assert told() == []


def test_other_runtimes_restart_the_operator():
    def digest(*arguments):
        operator = by_identity(render(*arguments))["Deployment", "ferryman-operator"]
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
        pytest.param("registry=My Registry", "registry", id="a registry with a space"),
        pytest.param("image.repository=host/ferryman:1", "repository", id="a tag where none is"),
        pytest.param("image.tag=a b", "tag", id="a tag that none can be"),
        pytest.param("extraRuntimes.My_Runtime.processors={}", "My_Runtime", id="a runtime's name"),
        pytest.param("monitoring.rules.runbooks=a b", "runbooks", id="an address with a space"),
        pytest.param("operator.extraEnv[0].name=5", "extraEnv", id="a variable without a name"),
        pytest.param("agent.priorityClassName=High One", "priorityClassName", id="a priority"),
    ],
)
def test_the_values_schema_refuses(setting, words):
    with pytest.raises(ClusterError, match=words):
        render("--set", setting)


def test_no_rule_lets_anyone_list_secrets_or_use_wildcards():
    for item in render():
        for rule in item.get("rules", []) if "Role" in item["kind"] else []:
            assert "*" not in json.dumps(rule)
            if "secrets" in rule["resources"]:
                assert not {"list", "watch"} & set(rule["verbs"])
                assert "get" not in rule["verbs"] or rule["resourceNames"]


def test_of_leases_the_operator_reads_those_of_nodes_and_writes_its_own():
    granted = [
        (item["metadata"]["namespace"], rule.get("resourceNames"), rule["verbs"])
        for item in render()
        for rule in (item.get("rules", []) if "Role" in item["kind"] else [])
        if "coordination.k8s.io" in rule["apiGroups"]
    ]

    assert granted == [
        (NAMESPACE, ["ferryman-operator"], ["get", "patch"]),
        (NAMESPACE, None, ["create"]),
        ("kube-node-lease", None, ["get"]),
    ]


MONITORING = [
    "--set=monitoring.namespace=monitoring",
    "--set=monitoring.labels.release=prometheus",
    "--set=monitoring.serviceMonitor.enabled=true",
    "--set=monitoring.podMonitor.enabled=true",
    "--set=monitoring.rules.enabled=true,monitoring.rules.runbooks=https://example.com/runbooks",
    "--set=monitoring.dashboards.enabled=true",
]
OF_MONITORING = {
    ("ServiceMonitor", "ferryman-operator"),
    ("PodMonitor", "ferryman-serving"),
    ("PrometheusRule", "ferryman"),
    ("ConfigMap", "ferryman-dashboard-fleet"),
    ("ConfigMap", "ferryman-dashboard-one"),
}


def test_monitoring_is_installed_only_where_it_is_asked_for():
    silent, watched = by_identity(render()), by_identity(render(*MONITORING))

    assert watched.keys() - silent.keys() == OF_MONITORING


def test_prometheus_selects_what_is_installed_for_it_and_reaches_it():
    objects = by_identity(render(*MONITORING))
    monitor = objects["ServiceMonitor", "ferryman-operator"]
    service = objects["Service", "ferryman-operator"]
    pods = objects["PodMonitor", "ferryman-serving"]["spec"]
    operator = objects["Deployment", "ferryman-operator"]["spec"]["template"]["spec"]
    [rule] = objects["NetworkPolicy", "ferryman-operator"]["spec"]["ingress"]
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}

    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["honorLabels"] is True
    assert pods["selector"] == {"matchLabels": {names.LABEL_MANAGED_BY: names.MANAGED_BY}}
    assert pods["namespaceSelector"] == {"any": True}
    assert "--monitoring-namespace=monitoring" in operator["containers"][0]["args"]
    assert {"namespaceSelector": monitoring} in rule["from"]


def environment(*arguments):
    """Return the variables of the operator's container, the last of a name as the kubelet does."""
    operator = by_identity(render(*arguments))["Deployment", "ferryman-operator"]
    [container] = operator["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


def test_traces_go_to_a_collector_only_where_one_is_named():
    silent = environment()
    traced = environment("--set=tracing.endpoint=http://otel.monitoring:4318")

    assert not [name for name in silent if name.startswith("OTEL_")]
    assert {name: traced[name] for name in traced.keys() - silent.keys()} == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.monitoring:4318",
    }


def test_serving_pods_are_scraped_where_models_are_served():
    [*arguments] = (*MONITORING, "--set=namespaces={team-a,team-b}")
    pods = by_identity(render(*arguments))["PodMonitor", "ferryman-serving"]["spec"]

    assert pods["namespaceSelector"] == {"matchNames": ["team-a", "team-b"]}


def test_every_alert_has_a_runbook_whose_address_a_value_begins():
    spec = by_identity(render(*MONITORING))["PrometheusRule", "ferryman"]["spec"]
    [group] = spec["groups"]
    addresses = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in group["rules"]}

    assert len(addresses) == len(group["rules"]) >= 10
    for alert, address in addresses.items():
        assert address == f"https://example.com/runbooks/{alert}.md"
        page = (ROOT / "docs" / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
        assert [line for line in page.splitlines() if line.startswith("## ")] == [
            "## Meaning",
            "## Impact",
            "## Diagnosis",
            "## Mitigation",
        ]


def test_dashboards_are_json_with_the_label_that_grafanas_sidecar_looks_for():
    objects = by_identity(render(*MONITORING))
    for name in ("fleet", "one"):
        dashboard = objects["ConfigMap", f"ferryman-dashboard-{name}"]
        [text] = dashboard["data"].values()

        assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(text)["panels"]


def pod_of(objects, part):
    kind = "Deployment" if part == "operator" else "DaemonSet"
    return objects[kind, f"ferryman-{part}"]["spec"]["template"]


def test_two_operators_are_kept_apart_and_one_of_them_alive():
    one, two = (by_identity(render("--set", f"operator.replicas={n}")) for n in (1, 2))
    budget = "PodDisruptionBudget", "ferryman-operator"
    deployment = two["Deployment", "ferryman-operator"]["spec"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]

    assert budget not in one
    assert one["Deployment", "ferryman-operator"]["spec"]["strategy"] == {"type": "Recreate"}
    assert two[budget]["spec"]["maxUnavailable"] == 1
    assert deployment["replicas"] == 2
    assert [rule["topologyKey"] for rule in spread] == ["kubernetes.io/hostname"]


@pytest.mark.parametrize("part", ["operator", "agent"])
def test_what_users_add_to_pods_is_added_and_replaces_nothing(part):
    values = {
        "podLabels": {"team": "ml", "app.kubernetes.io/name": "other"},
        "podAnnotations": {"note": "1"},
        "serviceAccountAnnotations": {"role": "reader"},
        "extraArgs": ["--log-level=debug"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    }
    plain = by_identity(render())
    objects = by_identity(render("--set-json", f"{part}={json.dumps(values)}"))
    before, pod = pod_of(plain, part), pod_of(objects, part)
    containers = before["spec"]["containers"][0], pod["spec"]["containers"][0]

    assert pod["metadata"]["labels"] == before["metadata"]["labels"] | {"team": "ml"}
    annotations = before["metadata"].get("annotations") or {}
    assert pod["metadata"]["annotations"] == annotations | {"note": "1"}
    assert containers[1]["args"] == [*containers[0]["args"], *values["extraArgs"]]
    assert containers[1]["env"] == [*containers[0]["env"], *values["extraEnv"]]
    account = objects["ServiceAccount", f"ferryman-{part}"]["metadata"]
    assert account["annotations"] == {"role": "reader"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("operator.extraEnv[0].name=POD_NAMESPACE", "operator.extraEnv: POD_NAMESPACE is set by"),
        ("agent.extraEnv[0].name=NODE_NAME", "agent.extraEnv: NODE_NAME is set by the chart"),
        ("extraRuntimes.triton.processors={}", "runtimes.triton is enabled, and both would be one"),
    ],
)
def test_what_would_stand_twice_is_refused_with_what_to_do(setting, words):
    with pytest.raises(ClusterError, match=words):
        render("--set", setting)


def test_a_variable_that_the_chart_sets_at_times_may_be_set_where_it_does_not():
    variable = ("--set", "operator.extraEnv[0].name=OTEL_EXPORTER_OTLP_ENDPOINT")
    assert pod_of(by_identity(render(*variable)), "operator")
    with pytest.raises(ClusterError, match="OTEL_EXPORTER_OTLP_ENDPOINT is set by the chart"):
        render(*variable, "--set", "tracing.endpoint=http://collector:4318")


def test_a_runtime_of_a_shipped_ones_name_may_take_its_place():
    instead = {"processors": [{"class": "cpu", "image": "a:1", "backends": {"onnx": "x"}}]}
    arguments = ("--set", "runtimes.triton.enabled=false")
    objects = by_identity(
        render(*arguments, "--set-json", f"extraRuntimes={json.dumps({'triton': instead})}")
    )
    runtime = yaml.safe_load(objects["ConfigMap", "ferryman-runtimes"]["data"]["triton.yaml"])
    assert runtime["spec"] == instead


def test_the_digest_of_the_runtimes_is_the_charts_own():
    key = "serving.ferryman.dev/runtimes-digest"
    note = json.dumps({"podAnnotations": {key: "mine", "note": "1"}})
    plain, noted = (
        pod_of(by_identity(render(*more)), "operator")["metadata"]["annotations"]
        for more in ((), ("--set-json", f"operator={note}"))
    )
    assert noted == plain | {"note": "1"}


def test_names_that_look_like_numbers_are_names():
    helm = binaries.ensure("helm")["helm"]
    values = {
        "namespaces": ["2024", "1e3"],
        "monitoring": {"namespace": "007"},
        "operator": {"priorityClassName": "100"},
        "extraRuntimes": {"5": {"processors": []}},
    }
    settings = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    more = [word for setting in settings for word in ("--set-json", setting)]
    where = ("--namespace", "12", "--set", "runtimes.triton-cpu.enabled=true")
    objects = load_all(run(helm, "template", "9" * 53, CHART, *where, *more))
    namespaces = [each["metadata"].get("namespace") for each in objects]

    assert {*namespaces} == {None, "12", "2024", "1e3", "kube-node-lease"}
    runtimes = by_identity(objects)["ConfigMap", "ferryman-runtimes"]["data"]
    assert yaml.safe_load(runtimes["5.yaml"])["metadata"]["name"] == "5"
    assert pod_of(by_identity(objects), "operator")["spec"]["priorityClassName"] == "100"


def test_a_registry_for_all_charts_wins():
    setting = "global.imageRegistry=registry.example/all"
    objects = render("--set", setting, "--set", "registry=registry.example/one")
    named = re.findall(r"registry\.example/\w+", json.dumps(objects))

    assert len(named) > 3
    assert set(named) == {"registry.example/all"}


def test_further_runtimes_and_objects_come_along():
    spec = {
        "processors": [{"class": "cpu", "image": "mine:1", "backends": {"onnx": "onnxruntime"}}]
    }
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}}
    values = json.dumps({"mine": spec})
    listed = json.dumps([named, json.dumps(named | {"metadata": {"name": "text"}})])
    objects = by_identity(
        render("--set-json", f"extraRuntimes={values}", "--set-json", f"extraObjects={listed}")
    )
    runtime = yaml.safe_load(objects["ConfigMap", "ferryman-runtimes"]["data"]["mine.yaml"])

    assert InferenceRuntime.model_validate(runtime).spec.processors[0].image == "mine:1"
    assert {("ConfigMap", "ferryman-x"), ("ConfigMap", "text")} <= objects.keys()


def test_the_test_of_a_release_serves_a_model_that_its_pod_asks():
    objects = by_identity(render("--set", "runtimes.triton-cpu.enabled=true"))
    model, pod = objects["InferenceModel", "ferryman-test"], objects["Pod", "ferryman-test"]
    assert InferenceModelSpec.model_validate(model["spec"]).objectives.latency is not None
    arguments = " ".join(pod["spec"]["containers"][0]["args"])

    assert {item["metadata"]["annotations"]["helm.sh/hook"] for item in (model, pod)} == {"test"}
    assert f"--url=http://{model['metadata']['name']}-triton.{NAMESPACE}.svc:8000" in arguments
    assert ("Pod", "ferryman-test") not in by_identity(render())


@pytest.mark.parametrize(
    ("namespaces", "expected"),
    [
        pytest.param(["team-a", "team-b"], "team-a", id="in one of those that are served"),
        pytest.param(["team-a", NAMESPACE], NAMESPACE, id="in the release's where that is one"),
    ],
)
def test_the_test_of_a_release_serves_a_model_where_models_are_served(namespaces, expected):
    objects = by_identity(
        render(
            *("--set", "runtimes.triton-cpu.enabled=true"),
            *("--set-json", f"namespaces={json.dumps(namespaces)}"),
        )
    )
    model, pod = objects["InferenceModel", "ferryman-test"], objects["Pod", "ferryman-test"]

    assert model["metadata"]["namespace"] == pod["metadata"]["namespace"] == expected
    assert f"-triton.{expected}.svc:8000" in " ".join(pod["spec"]["containers"][0]["args"])
