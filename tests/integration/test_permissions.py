"""What the chart grants is what its programs use, by records of audit logs."""

import copy
import json
import ssl
import urllib.error
import urllib.request

import pytest

from hack.manifests import render_chart
from hack.permissions import compare, uses
from hack.permissions.grants import MODELS, OPERATOR, grants, permissions
from hack.permissions.uses import ROOT, Record, Use
from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import NAMESPACE, install, wait_for
from tests.integration.test_rendered_objects import decided

pytestmark = pytest.mark.integration

MODULE = "tests/integration/test_permissions.py"
GROUP = "serving.ferryman.dev"


@pytest.fixture(scope="module")
def granted():
    return grants()


def test_each_permission_names_a_test_that_uses_it(granted):
    assert list(compare.unshown(granted, compare.shown())) == []
    modules = set(compare.shown().values())
    assert [each for each in modules if not (ROOT / each).is_file()] == []


def test_both_ways_to_install_grant_the_same_in_the_namespaces_that_are_served():
    def of(role, *arguments):
        return {
            (each.group, each.resource, each.verb)
            for each, _ in permissions(render_chart(*arguments))
            if each.role == role
        }

    some = ("--set", "namespaces={team-a}")
    assert of(OPERATOR) == of(OPERATOR, *some) | of(MODELS, *some)


def event(verb="patch", resource="deployments", group="apps", role=OPERATOR, **more):
    kind, name = role.split()
    reason = f'RBAC: allowed by {kind}Binding "{name}" of {kind} "{name}" to ServiceAccount "x/y"'
    answer = {"decision": "allow", "reason": reason} if role else {"decision": "forbid"}
    return {
        "verb": verb,
        "user": {"username": f"system:serviceaccount:{NAMESPACE}:ferryman-operator"},
        "userAgent": "Python/3.11 aiohttp/3.13",
        "objectRef": {"apiGroup": group, "resource": resource},
        "annotations": {f"authorization.k8s.io/{key}": value for key, value in answer.items()},
        **more,
    }


def use(verb, resource="deployments", group="apps", role=OPERATOR):
    return Use("ferryman-operator", role, group, resource, verb)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(event(), [use("patch")], id="a change"),
        pytest.param(
            event(responseStatus={"code": 201}),
            [use("patch"), use("create")],
            id="an apply that created something",
        ),
        pytest.param(
            event(
                objectRef={"apiGroup": GROUP, "resource": "nodeprofiles", "subresource": "status"}
            ),
            [use("patch", "nodeprofiles/status", GROUP)],
            id="a subresource",
        ),
        pytest.param(event(role="ClusterRole x", objectRef={}), [], id="the version"),
        pytest.param(event(user={"username": "administrator"}), [], id="somebody else's"),
        pytest.param(event(userAgent="kubectl/v1.36.3"), [], id="a test's own"),
    ],
)
def test_what_a_request_used(seen, expected):
    assert list(uses.of_log([json.dumps(seen)])) == expected


def test_a_request_that_no_role_let_pass_is_an_error():
    let = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}
    with pytest.raises(ValueError, match="let pass by no role"):
        list(uses.of_event(event(annotations=let)))


def test_differences_are_said(granted):
    by = dict.fromkeys(map(str, granted.permissions), MODULE)
    seen = [
        Record(
            MODULE,
            frozenset(
                {
                    use("patch"),
                    use("delete"),
                    use("list", "secrets", "", role=""),
                    use("list", "pods", "", role=""),  # granted: a test took it away
                }
            ),
        )
    ]
    del by[f"{MODELS}: create deployments.apps"]
    by["Role x: get y"] = MODULE
    found = list(compare.faults(granted, by, seen))
    assert f"{MODELS}: create deployments.apps: granted, and no test uses it" in found
    assert f"Role x: get y: not granted, but {MODULE} is said to use it" in found
    assert (
        f"{MODULE}: {MODELS}: delete deployments.apps: used, and not granted by the chart" in found
    )
    assert f"{MODULE}: ferryman-operator: list secrets: refused" in found
    assert f"{MODELS}: list deployments.apps: {MODULE} does not use it any more" in found
    assert not any(f"{MODELS}: patch deployments.apps" in each for each in found)
    assert not any("list pods: refused" in each for each in found)


def test_what_is_written_down_stays_where_it_can(granted):
    patched, created = f"{MODELS}: patch deployments.apps", f"{MODELS}: create deployments.apps"
    seen = [Record(name, frozenset({use("patch")})) for name in ("a.py", "b.py")]
    found = compare.chosen(granted, {patched: "b.py", created: "c.py"}, seen)
    assert found[patched] == "b.py"
    assert found[created] == "c.py", "it was not run"
    assert compare.chosen(granted, {patched: "b.py", created: "a.py"}, seen).keys() == {
        patched,
        *compare.UNSEEN,
    }


@pytest.fixture(scope="module")
def strict():
    """Yield a control plane that asks who blocks the deletion of an owner."""
    with ControlPlane.start(admission=("OwnerReferencesPermissionEnforcement",)) as plane:
        install(plane)
        plane.kubectl("create", "namespace", "models")
        yield plane


@pytest.mark.parametrize("kind", ["InferenceModel", "InferencePipeline"])
def test_owners_whose_deletion_waits_need_the_right_to_their_finalizers(strict, kind):
    document = service_of(kind)
    token = strict.kubectl("create", "token", "ferryman-operator", "-n", NAMESPACE).strip()

    def refusal():
        return applied(strict, token, document)

    rules = json.loads(strict.kubectl("get", "clusterrole", "ferryman-operator", "-o", "json"))[
        "rules"
    ]
    left = [rule for rule in rules if not any("finalizers" in each for each in rule["resources"])]
    assert len(left) == len(rules) - 1
    assert refusal() == ""
    try:
        grant(strict, left)
        wait_for("it holds", lambda: "cannot set blockOwnerDeletion" in refusal())
    finally:
        grant(strict, rules)
    wait_for("it is granted again", lambda: refusal() == "")


def grant(plane, rules):
    patch = json.dumps({"rules": rules})
    plane.kubectl("patch", "clusterrole", "ferryman-operator", "--type=merge", f"-p={patch}")


def service_of(kind):
    """Return a Service as the operator applies it, of a model or a pipeline called digits."""
    [service] = [each for each in decided("digits", "1").objects if each["kind"] == "Service"]
    made = copy.deepcopy(service)
    [owner] = made["metadata"]["ownerReferences"]
    assert owner["blockOwnerDeletion"]
    owner["kind"] = kind
    if kind == "InferencePipeline":
        made["metadata"]["name"] = "digits-pipeline"
    return made


def applied(plane, token, document):
    """Apply an object as the operator does, without leaving it; return the API server's words."""
    metadata = document["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}"
    request = urllib.request.Request(  # noqa: S310
        f"{plane.url}{path}?fieldManager=ferryman&force=true&dryRun=All",
        json.dumps(document).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/apply-patch+yaml"},
        method="PATCH",
    )
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=30, context=context):  # noqa: S310
            return ""
    except urllib.error.HTTPError as refused:
        return json.loads(refused.read())["message"]
