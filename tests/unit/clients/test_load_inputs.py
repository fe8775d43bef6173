"""Requests made from files and random numbers, and where they may be sent."""

import json

import numpy as np
import pytest

from ferryman.clients import inference, load_inputs
from ferryman.clients.inference import HEADER_LENGTH, AnswerInvalid, Signature, read_answer
from ferryman.clients.load import target as load_target
from ferryman.clients.load.target import TargetRefused
from ferryman.clients.load_inputs import InputInvalid

DIGITS = Signature.from_metadata(
    {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "scores", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "label", "datatype": "INT64", "shape": [-1, 1]},
        ],
    }
)
FIXED = Signature.from_metadata(
    {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [4]}],
        "outputs": [{"name": "output", "datatype": "FP32", "shape": [4]}],
    }
)
WORDS = Signature.from_metadata(
    {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}],
        "outputs": [],
    }
)


def opened(request):
    length = int(request.headers[HEADER_LENGTH])
    return json.loads(request.body[:length]), request.body[length:]


@pytest.fixture
def file(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "in.npz", **arrays)
        return tmp_path / "in.npz"

    return write


def test_rows_become_requests_in_the_models_own_type(file):
    images = np.arange(24, dtype=np.float64).reshape(6, 4)
    requests = load_inputs.from_file(file(images=images, labels=np.arange(6)), DIGITS, 2)
    header, data = opened(requests[1])
    assert len(requests) == 3
    assert header["inputs"][0]["shape"] == [2, 4]
    assert [output["name"] for output in header["outputs"]] == ["label"]
    np.testing.assert_array_equal(np.frombuffer(data, np.float32), np.arange(8, 16))
    assert requests[1].expected_labels.tolist() == [2, 3]


def test_a_model_without_a_batch_dimension_gets_one_row_a_request(file):
    requests = load_inputs.from_file(file(input=np.zeros((3, 4))), FIXED, 1)
    assert [opened(request)[0]["inputs"][0]["shape"] for request in requests] == [[4]] * 3


@pytest.mark.parametrize(
    ("arrays", "signature", "batch", "why"),
    [
        pytest.param(
            {"a": np.zeros((2, 4)), "b": np.zeros(2)}, DIGITS, 1, "model takes", id="names"
        ),
        pytest.param({"input": np.zeros((2, 5))}, DIGITS, 1, "rows of shape", id="shape"),
        pytest.param({"input": np.zeros((2, 4))}, DIGITS, 3, "at least 3 rows", id="too few rows"),
        pytest.param(
            {"input": np.zeros((2, 4)), "labels": np.zeros(3)}, DIGITS, 1, "equally", id="labels"
        ),
        pytest.param({"input": np.zeros((2, 4))}, FIXED, 2, "takes no batches", id="no batches"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(file, arrays, signature, batch, why):
    with pytest.raises(InputInvalid, match=why):
        load_inputs.from_file(file(**arrays), signature, batch)


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "in.npz"
    path.write_text("no arrays")
    with pytest.raises(InputInvalid, match=r"no \.npz file"):
        load_inputs.from_file(path, DIGITS, 1)


def test_random_requests_are_the_same_for_the_same_seed():
    first, again, other = (load_inputs.random_requests(DIGITS, 2, seed) for seed in (1, 1, 2))
    assert [request.body for request in first] == [request.body for request in again]
    assert first[0].body != other[0].body


def test_a_model_of_words_needs_a_file():
    with pytest.raises(InputInvalid, match=r"BYTES.*give the inputs in a file"):
        load_inputs.random_requests(WORDS, 1, 0)


def test_an_answer_is_read_back_as_it_was_written():
    label = np.array([[3], [7]], np.int64)
    request = inference.build({"label": label}, [], None)
    body = request.body.replace(b'"inputs"', b'"outputs"')
    outputs = read_answer(body, str(int(request.headers[HEADER_LENGTH]) + 1))
    np.testing.assert_array_equal(outputs["label"], label)
    assert inference.predicted_labels(outputs["label"]).tolist() == [3, 7]
    scores = np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)
    assert inference.predicted_labels(scores).tolist() == [1, 0]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="no JSON"),
        pytest.param(b'{"error": "x"}', id="an error"),
        pytest.param(b'{"outputs": []}', id="no outputs"),
        pytest.param(
            b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1],'
            b'"parameters":{"binary_data_size":4}}]}',
            id="fewer bytes than announced",
        ),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(body):
    with pytest.raises(AnswerInvalid, match="not an answer of the v2 protocol"):
        read_answer(body, None)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:8000/", id="loopback"),
        pytest.param("http://10.1.2.3:8000", id="a pod's address"),
        pytest.param("http://[fd00::1]:8000", id="a private IPv6 address"),
        pytest.param("http://localhost:8000", id="a name that is local"),
    ],
)
def test_ones_own_networks_may_be_loaded(url):
    assert load_target.check(url) == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("http://8.8.8.8:80", "a public address", id="a public address"),
        pytest.param("http://[2606:4700::1111]", "a public address", id="a public IPv6 address"),
        pytest.param("http://224.0.0.1", "a public address", id="multicast"),
        pytest.param("ftp://127.0.0.1", "is no URL", id="another protocol"),
        pytest.param("127.0.0.1:8000", "is no URL", id="no protocol"),
        pytest.param("http://nowhere.invalid", "is not known here", id="an unknown name"),
    ],
)
def test_other_targets_are_refused(url, why):
    with pytest.raises(TargetRefused, match=why):
        load_target.check(url)
