"""What owners add to serving pods and benchmarks, and what stays Ferryman's."""

import pytest

from ferryman.api.pods.pod_settings import (
    EnvironmentVariable,
    ModelPodSettings,
    PodSecurity,
    PodSettings,
    PullSecret,
)
from ferryman.core import render
from ferryman.core.render import pod, settings
from ferryman.core.render.slots import ServedModel
from tests import factories

LABELS = {"serving.ferryman.dev/model": "resnet50", "app.kubernetes.io/name": "resnet50"}
ANNOTATIONS = {"serving.ferryman.dev/config-hash": "0123"}
ACCOUNT = {"service_account_name": "runtime", "priority_class_name": "low"}


def variables(**values):
    return tuple(EnvironmentVariable(name=name, value=value) for name, value in values.items())


def secrets(*names):
    return tuple(PullSecret(name=name) for name in names)


@pytest.mark.parametrize(
    ("runtime", "model", "expected"),
    [
        pytest.param({}, {}, {}, id="nothing is asked for, nothing is added"),
        pytest.param(
            {"labels": {"team": "a", "tier": "1"}},
            {"labels": {"team": "b"}},
            {"labels": {"team": "b", "tier": "1"}},
            id="labels are added, and the model's count",
        ),
        pytest.param(
            {"annotations": {"mesh": "off"}},
            {"annotations": {"mesh": "on", "x": "y"}},
            {"annotations": {"mesh": "on", "x": "y"}},
            id="so are annotations",
        ),
        pytest.param(
            {"image_pull_secrets": secrets("a", "b")},
            {"image_pull_secrets": secrets("b", "c")},
            {"image_pull_secrets": secrets("a", "b", "c")},
            id="pull secrets are added, each once",
        ),
        pytest.param(ACCOUNT, {}, ACCOUNT, id="the runtime's account and priority"),
        pytest.param(
            ACCOUNT,
            {"service_account_name": "model", "priority_class_name": "high"},
            {"service_account_name": "model", "priority_class_name": "high"},
            id="or the model's own",
        ),
        pytest.param(
            {"security_context": PodSecurity(user="Namespace")},
            {"security_context": PodSecurity(run_as_user=7)},
            {"security_context": PodSecurity(run_as_user=7)},
            id="a model's security context replaces the runtime's as a whole",
        ),
        pytest.param(
            {"host_users": False},
            {"host_users": True},
            {"host_users": False},
            id="users of its own are kept whatever a model says",
        ),
        pytest.param(
            {"host_users": True},
            {"host_users": False},
            {"host_users": False},
            id="and a model may ask for them",
        ),
        pytest.param({"host_users": True}, {}, {"host_users": True}, id="the node's users"),
    ],
)
def test_the_runtimes_and_the_models_word_become_one(runtime, model, expected):
    found = settings.merged(PodSettings(**runtime), ModelPodSettings(**model))

    assert found == ModelPodSettings(**expected)


def test_the_models_variable_takes_the_place_of_the_runtimes():
    found = settings.environment(variables(A="1", B="2"), variables(B="3", C="4"))

    assert found == variables(A="1", B="3", C="4")


def test_a_value_is_taken_literally():
    (variable,) = variables(A="$(FERRYMAN_CONTROL_KEY) and $5")

    assert variable.as_literal() == {"name": "A", "value": "$$(FERRYMAN_CONTROL_KEY) and $$5"}


def test_our_labels_and_annotations_win_over_those_that_should_have_been_refused():
    theirs = PodSettings(
        labels={"serving.ferryman.dev/model": "other", "team": "a"},
        annotations={"serving.ferryman.dev/config-hash": "", "mesh": "off"},
    )
    found = settings.metadata(theirs, LABELS, ANNOTATIONS)

    assert found == {
        "labels": {**LABELS, "team": "a"},
        "annotations": {**ANNOTATIONS, "mesh": "off"},
    }


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        pytest.param(None, {"runAsUser": 1000, "runAsGroup": 1000}, id="a plain user by default"),
        pytest.param(PodSecurity(user="Namespace"), {}, id="none where the namespace assigns one"),
        pytest.param(
            PodSecurity(user="Namespace", supplemental_groups=(44,)),
            {"supplementalGroups": [44]},
            id="but further groups",
        ),
        pytest.param(
            PodSecurity(run_as_user=4711),
            {"runAsUser": 4711, "runAsGroup": 1000},
            id="a user of the owner's",
        ),
        pytest.param(
            PodSecurity(run_as_group=0, fs_group=0, fs_group_change_policy="OnRootMismatch"),
            {
                "runAsUser": 1000,
                "runAsGroup": 0,
                "fsGroup": 0,
                "fsGroupChangePolicy": "OnRootMismatch",
            },
            id="groups of the owner's, 0 among them",
        ),
    ],
)
def test_the_user_of_a_pod(chosen, expected):
    always = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}

    assert pod.pod_security(chosen) == {**expected, **always}


def test_a_deployment_has_all_of_it_and_selects_by_our_label_alone():
    theirs = ModelPodSettings(
        labels={"team": "vision"},
        annotations={"mesh": "off"},
        service_account_name="vision",
        image_pull_secrets=secrets("registry"),
        priority_class_name="high",
        host_users=False,
        env=variables(OMP_NUM_THREADS="2"),
        security_context=PodSecurity(user="Namespace"),
    )
    found = deployment(theirs)
    template, spec = found["template"], found["template"]["spec"]

    assert found["selector"] == {"matchLabels": {"serving.ferryman.dev/model": "resnet50"}}
    assert template["metadata"]["labels"]["team"] == "vision"
    assert template["metadata"]["annotations"]["mesh"] == "off"
    assert spec["serviceAccountName"] == "vision"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["priorityClassName"] == "high"
    assert spec["hostUsers"] is False
    assert "runAsUser" not in spec["securityContext"]
    assert spec["automountServiceAccountToken"] is False, "an account's token is not mounted"
    assert {"name": "OMP_NUM_THREADS", "value": "2"} in spec["containers"][0]["env"]
    assert spec["containers"][0]["env"][0]["name"] == "FERRYMAN_CONTROL_KEY"


def test_a_pod_without_settings_states_none():
    spec = deployment(ModelPodSettings())["template"]["spec"]

    stated = {"serviceAccountName", "imagePullSecrets", "priorityClassName", "hostUsers"}
    assert not stated & spec.keys()


def deployment(theirs):
    """Return the Deployment's spec of a model with these settings."""
    source, entry = factories.source(), factories.runtime_processor()
    serving = render.Serving(
        served=factories.model(model=source, pod=theirs),
        models=(ServedModel("resnet50", source.storage_uri),),
        entry=entry,
        node_type="cpu-small",
        preferred_node=None,
        pull_policy="IfNotPresent",
        control_key="secret",
        environment=render.Environment("ferryman-system"),
    )
    *_, found = render.render(serving, repr)
    return found["spec"]
