"""Whose a pod is."""

import pytest

from ferryman.api.resources import model_key
from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.handlers.tenants.owners import Chains, controller_only, prove
from tests.fakes import run_virtually

KEY = model_key("default", "m")


def owned(uid, by, kind="X", *, name="it", controller=True):
    """Return an object that another one controls, or merely owns."""
    reference = {"kind": kind, "name": f"{by}-name", "uid": by, "controller": controller}
    return {"metadata": {"name": name, "uid": uid, "ownerReferences": [reference]}}


DEPLOYMENT = owned("d", "model", name="m-triton")


def pod(replica_set="rs", name="m-triton-1", kind="ReplicaSet", *, controller=True):
    found = owned("p", replica_set, kind, controller=controller)
    found["metadata"]["ownerReferences"][0]["name"] = name
    return found


class Api:
    """Answers for ReplicaSets by name, and notes who asked."""

    def __init__(self, **replica_sets):
        self.replica_sets = {name.replace("_", "-"): rs for name, rs in replica_sets.items()}
        self.asked = []

    async def replica_set(self, namespace, name):
        """Return what is there, or raise it."""
        self.asked.append((namespace, name))
        found = self.replica_sets.get(name)
        if isinstance(found, Exception):
            raise found
        return found


def look(api, pods, deployment=DEPLOYMENT, uid="model", chains=None):
    """Return which pods are the model's."""
    chains = chains or Chains()
    run_virtually(prove(api, chains, KEY, pods, deployment))
    return [chains.holds(KEY, each, deployment, uid) for each in pods]


@pytest.mark.parametrize(
    ("api", "seen", "holds"),
    [
        pytest.param(Api(m_triton_1=owned("rs", "d")), pod(), True, id="the whole chain"),
        pytest.param(Api(), pod(), False, id="there is no such ReplicaSet"),
        pytest.param(Api(m_triton_1=owned("rs", "x")), pod(), False, id="of another Deployment"),
        pytest.param(Api(m_triton_1=owned("y", "d")), pod(), False, id="another of that name"),
        pytest.param(
            Api(m_triton_1={"metadata": {"uid": "rs"}}), pod(), False, id="a ReplicaSet of nobody"
        ),
        pytest.param(
            Api(m_triton_1=owned("rs", "d", controller=False)), pod(), False, id="merely owned"
        ),
        pytest.param(
            Api(m_triton_1=owned("rs", "d")), pod(controller=False), False, id="a pod merely owned"
        ),
        pytest.param(Api(), pod(kind="Job"), False, id="of a Job"),
        pytest.param(Api(), {"metadata": {}}, False, id="a pod of nobody"),
    ],
)
def test_a_pod_is_its_models_by_the_whole_chain(api, seen, holds):
    assert look(api, [seen]) == [holds]


@pytest.mark.parametrize(
    ("deployment", "uid"),
    [
        pytest.param(None, "model", id="no Deployment"),
        pytest.param(owned("d", "other", name="m-triton"), "model", id="somebody else's"),
        pytest.param({"metadata": {"name": "m-triton", "uid": "d"}}, "model", id="nobody's"),
        pytest.param(DEPLOYMENT, "recreated", id="of the model that was there before"),
    ],
)
def test_the_deployment_must_be_the_models(deployment, uid):
    assert look(Api(m_triton_1=owned("rs", "d")), [pod()], deployment, uid) == [False]


def test_a_replica_set_is_asked_for_once_whatever_the_answer():
    api, chains = Api(m_triton_1=owned("rs", "d")), Chains()
    pods = [pod(), pod(), pod("forged", "m-triton-2")]
    for _ in range(3):
        assert look(api, pods, chains=chains) == [True, True, False]
    assert api.asked == [("default", "m-triton-1"), ("default", "m-triton-2")]


def test_one_that_is_not_named_as_the_deployments_are_is_not_asked_for():
    api = Api()
    assert look(api, [pod(name="other-triton-1")]) == [False]
    assert api.asked == []


def test_of_hundreds_that_are_named_few_are_asked_for_in_one_look():
    api, pods = Api(), [pod(f"rs-{n}", f"m-triton-{n}") for n in range(400)]
    look(api, pods)
    assert len(api.asked) == 16


def test_what_no_pod_names_any_more_is_forgotten():
    chains = Chains()
    look(Api(m_triton_1=owned("rs", "d")), [pod()], chains=chains)
    look(Api(), [], chains=chains)
    assert not chains.holds(KEY, pod(), DEPLOYMENT, "model")
    look(Api(m_triton_1=owned("rs", "d")), [pod()], chains=chains)
    chains.forget(KEY)
    assert not chains.holds(KEY, pod(), DEPLOYMENT, "model")


def test_while_the_api_server_does_not_say_nothing_is_known():
    api, chains = Api(m_triton_1=TemporaryError("busy")), Chains()
    with pytest.raises(TemporaryError):
        look(api, [pod()], chains=chains)
    api.replica_sets["m-triton-1"] = owned("rs", "d")
    assert look(api, [pod()], chains=chains) == [True]


def test_of_owners_only_the_controller_is_kept():
    body = owned("p", "rs", "ReplicaSet")
    body["metadata"]["ownerReferences"].insert(0, {"kind": "Y", "uid": "y"})
    assert controller_only(body) == [
        {"kind": "ReplicaSet", "name": "rs-name", "uid": "rs", "controller": True}
    ]
    assert controller_only({"metadata": {}}) == []
