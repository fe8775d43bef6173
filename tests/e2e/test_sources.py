"""Models that pods fetch: over https from a server with an authority of its own, and from S3.

The namespace holds pods to Pod Security's ``restricted``, and the chart's policies the operator.
"""

import hashlib
import io
import tarfile

import pytest

from hack import installation
from hack.demo import watching
from hack.models import digits
from tests.e2e import models, sources

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

NAME = "fetched"
SECRET = "model-source-team"  # noqa: S105  a name
REQUEST = {
    "inputs": [{"name": "input", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}],
}


def packed(content):
    """Return the archive of a model's folder."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("digits/1/model.onnx")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture(scope="module")
def files():
    content = digits.build().SerializeToString()
    return {"model.onnx": content, "digits.tar.gz": packed(content)}


@pytest.fixture(scope="module")
def source(ferryman, namespace, files, tmp_path_factory):
    ferryman.kubectl(
        "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    return sources.Source(ferryman, tmp_path_factory.mktemp("source"), files)


@pytest.fixture(scope="module")
def fetched(ferryman, source):
    """Return what makes a model that is fetched, on the node that has room for its rollouts."""
    peaks = installation.benchmarked_nodes(ferryman)
    node = {"kubernetes.io/hostname": max(peaks, key=peaks.get)}

    def made(name, uri, **fetch):
        document = models.model(
            name, uri=uri, batching=models.fixed(8), placement={"nodeSelector": node}
        )
        stated = {"caConfigMapName": sources.CA, "sizeLimit": "64Mi", **fetch}
        document["spec"]["model"]["fetch"] = stated
        return document

    return made


def give(cluster, **entries):
    """Make the Secret, or change it."""
    metadata = {"name": SECRET, "namespace": models.NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    installation.apply(cluster, {**secret, "stringData": entries})


def answers(cluster, name=NAME):
    """Whether the model tells a label of a picture."""
    with watching.opened(cluster, models.NAMESPACE) as api:
        outputs = api.infer(f"{name}-triton", name, REQUEST)["outputs"]
    return {each["name"] for each in outputs} == {"label", "probabilities"}


def wait_not_ready(cluster, name, reason):
    return models.wait_condition(cluster, name, "Ready", status="False", reason=reason)["message"]


@pytest.fixture(scope="module")
def pinned(source, files, fetched):
    """Return the model as it should be: an archive for who has the token, and its digest."""
    digest = hashlib.sha256(files["digits.tar.gz"]).hexdigest()
    uri = f"{source.url}/private/digits.tar.gz"
    return fetched(NAME, uri, secretName=SECRET, sha256=digest)


@pytest.fixture(scope="module")
def served(ferryman, source, pinned):
    give(ferryman, token=sources.TOKEN)
    installation.apply(ferryman, pinned)
    return models.wait_ready(ferryman, NAME)


def test_a_model_is_fetched_and_answers(ferryman, served, pinned):
    digest = pinned["spec"]["model"]["fetch"]["sha256"]
    assert served["status"]["source"]["digests"] == [f"sha256:{digest}"]
    assert answers(ferryman)


def test_what_serves_keeps_serving_when_the_source_is_changed_to_a_wrong_one(
    ferryman, served, pinned, fetched
):
    wrong = fetched(NAME, pinned["spec"]["model"]["storageUri"], secretName=SECRET, sha256="0" * 64)
    installation.apply(ferryman, wrong)
    message = wait_not_ready(ferryman, NAME, "ModelSourceMismatch")
    assert pinned["spec"]["model"]["fetch"]["sha256"] in message
    assert "what served before keeps serving" in message
    assert answers(ferryman)
    installation.apply(ferryman, pinned)
    models.wait_ready(ferryman, NAME)
    assert answers(ferryman)


def test_a_wrong_credential_is_said_and_a_right_one_taken_up(ferryman, source, fetched):
    """A Secret that is mended later reaches the pod without anyone doing anything about it."""
    wrong = "wrong-token-of-the-test"
    give(ferryman, token=wrong)
    document = fetched("forbidden", f"{source.url}/private/digits.tar.gz", secretName=SECRET)
    installation.apply(ferryman, document)
    message = wait_not_ready(ferryman, "forbidden", "ModelSourceForbidden")
    assert wrong not in message
    assert SECRET.partition("team")[0] not in message
    give(ferryman, token=sources.TOKEN)
    installation.wait_for(
        "forbidden: what is right is taken up",
        lambda: models.condition(ferryman, "forbidden", "Ready").get("status") == "True",
        timeout_s=400,  # the kubelet's pauses and its cache of Secrets
        explain=lambda: models.describe(ferryman, "forbidden"),
    )
    installation.delete(ferryman, document)


@pytest.mark.parametrize(
    ("name", "path", "fetch", "reason"),
    [
        pytest.param("absent", "nothing.onnx", {}, "ModelSourceNotFound", id="not there"),
        pytest.param(
            "hanging", "hang.onnx", {"deadlineSeconds": 10}, "ModelSourceTooSlow", id="hangs"
        ),
        pytest.param("large", "model.onnx", {"sizeLimit": "4Ki"}, "ModelSourceTooLarge", id="size"),
        pytest.param(
            "untrusted",
            "model.onnx",
            {"caConfigMapName": "nobody"},
            "ModelSourceMisconfigured",
            id="an authority that is not there",
        ),
    ],
)
def test_what_goes_wrong_is_a_condition(ferryman, source, fetched, name, path, fetch, reason):
    document = fetched(name, f"{source.url}/{path}", **fetch)
    installation.apply(ferryman, document)
    wait_not_ready(ferryman, name, reason)
    installation.delete(ferryman, document)


@pytest.fixture
def claim(ferryman, source):
    """Make a claim of a folder that each node has, as an administrator gives it to a namespace.

    What is in it may stay: it is a few kilobytes, in a folder for such files.
    """
    size, name = {"storage": "1Gi"}, "model-cache"
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    reference = {"namespace": models.NAMESPACE, "name": name}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "ferryman-e2e-cache"},
        "spec": {
            **common,
            "capacity": size,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": reference,
            "hostPath": {"path": "/var/tmp", "type": "Directory"},  # noqa: S108  of a node
        },
    }
    made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": reference}
    made["spec"] = {**common, "resources": {"requests": size}}
    installation.delete(ferryman, volume)
    installation.apply(ferryman, volume, made)
    yield name
    installation.delete(ferryman, made, volume)


def test_what_was_fetched_is_kept_for_pods_that_could_not_fetch_it(
    ferryman, source, files, fetched, claim
):
    """The second source wants credentials, of which there are none."""
    digest = hashlib.sha256(files["digits.tar.gz"]).hexdigest()
    fetch = {"sha256": digest, "cache": {"claimName": claim, "sizeLimit": "64Mi"}}
    for path in ("digits.tar.gz", "private/digits.tar.gz"):
        document = fetched("kept", f"{source.url}/{path}", **fetch)
        installation.apply(ferryman, document)
        models.wait_ready(ferryman, "kept")
    assert answers(ferryman, "kept")
    told = [each["metadata"] for each in models.pods(ferryman, "kept")]
    (pod,) = [each["name"] for each in told if "deletionTimestamp" not in each]
    where = f"--namespace={models.NAMESPACE}"
    assert "in the cache" in ferryman.kubectl("logs", pod, where, "-c", "fetch")
    installation.delete(ferryman, document)


def test_a_model_from_s3(ferryman, source, fetched):
    endpoint = source.start_s3()
    secret = "model-source-s3"  # noqa: S105  a name
    metadata = {"name": secret, "namespace": models.NAMESPACE}
    keys = {"AWS_ACCESS_KEY_ID": sources.KEY, "AWS_SECRET_ACCESS_KEY": sources.SECRET}
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys}
    installation.apply(ferryman, document)
    installation.apply(
        ferryman, fetched("stored", "s3://models/digits", endpoint=endpoint, secretName=secret)
    )
    models.wait_ready(ferryman, "stored")
    assert answers(ferryman, "stored")
