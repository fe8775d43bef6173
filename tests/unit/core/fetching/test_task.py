"""What a pod is told to fetch, and from which port."""

import pytest

from ferryman.api.model_fetch import FetchSpec
from ferryman.core.fetching.task import (
    FetchTask,
    decode,
    encode,
    is_fetched,
    port,
    size_limit_bytes,
)


@pytest.mark.parametrize(
    ("uri", "fetched"),
    [
        ("s3://b/x", True),
        ("gs://b", True),
        ("hf://a/b", True),
        ("https://h/f", True),
        ("oci://m", False),
        ("pvc://c", False),
        (None, False),
    ],
)
def test_which_files_are_fetched(uri, fetched):
    assert is_fetched(uri) is fetched


def test_tasks_arrive_as_they_were_sent():
    task = FetchTask("s3://models/resnet50/", "/model", 1, 2, secret="/s", identity=True)  # noqa: S106
    assert decode(encode((task,))) == (task,)
    assert (task.scheme, task.path, task.name) == ("s3", "models/resnet50", "resnet50")


def test_what_is_no_task_is_refused():
    with pytest.raises(ValueError, match="uri"):
        decode('[{"into": "/model"}]')


def test_the_bound_is_a_quantity():
    assert size_limit_bytes(FetchSpec()) == 20 * 1024**3
    assert size_limit_bytes(FetchSpec(size_limit=5)) == 5


@pytest.mark.parametrize(
    ("uri", "endpoint", "number"),
    [
        ("s3://b/x", None, 443),
        ("s3://b/x", "http://minio:9000", 9000),
        ("s3://b/x", "http://minio", 80),
        ("hf://a/b", "https://mirror.example", 443),
        ("https://host:8443/x", None, 8443),
        ("https://host/x:1", None, 443),
    ],
)
def test_the_port_that_pods_connect_to(uri, endpoint, number):
    assert port(uri, FetchSpec(endpoint=endpoint)) == number
