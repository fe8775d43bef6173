"""Requests made from files and random numbers, and where they may be sent."""

import dataclasses
import json

import ml_dtypes
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
        "outputs": [{"name": "language", "datatype": "BYTES", "shape": [-1, 1]}],
    }
)
#: Metadata do not tell whether its samples are rows.
AUDIO = Signature.from_metadata(
    {"inputs": [{"name": "wav", "datatype": "FP32", "shape": [-1]}], "outputs": []}
)
AUDIO_ALONE = dataclasses.replace(AUDIO, max_batch_size=0)
AUDIO_IN_BATCHES = dataclasses.replace(AUDIO, max_batch_size=8)
NUMBERS = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
    "BF16": ml_dtypes.bfloat16,
}  # fmt: skip


def of_type(datatype, shape=(-1, 2)):
    described = {"name": "x", "datatype": datatype, "shape": list(shape)}
    return Signature.from_metadata({"inputs": [described], "outputs": [described]})


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
        pytest.param(
            {"text": np.zeros((2, 1))},
            WORDS,
            1,
            "float64 where the model takes BYTES",
            id="numbers for texts",
        ),
        pytest.param(
            {"input": np.full((2, 4), "7")},
            DIGITS,
            1,
            "<U1 where the model takes FP32",
            id="texts for numbers",
        ),
        pytest.param(
            {"x": np.full((2, 2), 300)},
            of_type("UINT8"),
            1,
            "values that UINT8 cannot hold",
            id="too large",
        ),
        pytest.param(
            {"x": np.full((2, 2), 0.5)},
            of_type("INT64"),
            1,
            "values that INT64 cannot hold",
            id="no whole numbers",
        ),
        pytest.param(
            {"input": np.zeros((2, 4)), "labels": np.array(["a", "b"])},
            DIGITS,
            1,
            "no output that could be compared with labels",
            id="labels of another kind",
        ),
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


def test_a_file_of_objects_says_how_texts_are_kept(file):
    path = file(text=np.array([["a"], ["bc"]], np.object_))
    with pytest.raises(InputInvalid, match=r"texts as numpy\.str_ or numpy\.bytes_"):
        load_inputs.from_file(path, WORDS, 1)


def test_random_requests_are_the_same_for_the_same_seed():
    first, again, other = (load_inputs.random_requests(DIGITS, 2, seed) for seed in (1, 1, 2))
    assert [request.body for request in first] == [request.body for request in again]
    assert first[0].body != other[0].body


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_of_every_type_are_drawn_and_read_from_files(file, datatype, batch_size):
    drawn = load_inputs.random_requests(of_type(datatype), batch_size, 0)
    written = file(x=np.ones((3, 2)))
    read = load_inputs.from_file(written, of_type(datatype), batch_size)
    for requests in (drawn, read):
        header, data = opened(requests[0])
        assert header["inputs"][0]["datatype"] == datatype
        assert header["inputs"][0]["shape"] == [batch_size, 2]
        assert len(data) == batch_size * 2 * np.dtype(NUMBERS[datatype]).itemsize
    np.testing.assert_array_equal(np.frombuffer(data, NUMBERS[datatype]).astype(float), 1)


def texts_of(data):
    texts = []
    while data:
        length = int.from_bytes(data[:4], "little")
        texts.append(data[4 : 4 + length])
        data = data[4 + length :]
    return texts


def test_words_are_drawn_for_a_model_of_words():
    header, data = opened(load_inputs.random_requests(WORDS, 2, 0)[0])
    texts = texts_of(data)
    assert header["inputs"][0] == {
        "name": "text", "shape": [2, 1], "datatype": "BYTES",
        "parameters": {"binary_data_size": len(data)},
    }  # fmt: skip
    assert len(texts) == 2
    assert all(text.isalpha() for text in texts)
    assert texts[0] != texts[1]


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(np.array([["Fähre"], [""]]), id="strings"),
        pytest.param(np.array([["Fähre".encode()], [b""]]), id="bytes"),
    ],
)
def test_texts_come_from_a_file(file, texts):
    requests = load_inputs.from_file(file(text=texts, labels=np.array(["de", "-"])), WORDS, 1)
    header, data = opened(requests[0])
    assert texts_of(data) == ["Fähre".encode()]
    assert [output["name"] for output in header["outputs"]] == ["language"]
    assert requests[0].expected_labels.tolist() == ["de"]
    assert [texts_of(opened(request)[1]) for request in requests[1:]] == [[b""]]


@pytest.mark.parametrize(
    ("signature", "samples", "shapes"),
    [
        pytest.param(AUDIO, (3, 16), [[16]] * 3, id="one dimension more: each entry is an input"),
        pytest.param(AUDIO_ALONE, (3, 16), [[16]] * 3, id="no batches: the same"),
        pytest.param(AUDIO_ALONE, (16,), [[16]], id="no batches: the array is one input"),
        pytest.param(FIXED, (4,), [[4]], id="of the one shape there is"),
        pytest.param(AUDIO, (3,), [[1]] * 3, id="not known: a first dimension of any size is rows"),
        pytest.param(AUDIO_IN_BATCHES, (3,), [[1]] * 3, id="batches: rows"),
    ],
)
def test_rows_and_whole_inputs_are_told_apart(file, signature, samples, shapes):
    requests = load_inputs.from_file(file(any=np.zeros(samples)), signature, 1)
    assert [opened(request)[0]["inputs"][0]["shape"] for request in requests] == shapes


@pytest.mark.parametrize("signature", [FIXED, AUDIO_ALONE], ids=["fixed", "any length"])
def test_a_model_without_batches_refuses_a_batch_size(signature):
    with pytest.raises(InputInvalid, match="takes no batches: use a batch size of 1"):
        load_inputs.random_requests(signature, 2, 0)


def test_a_type_that_cannot_be_sent_is_refused_by_name():
    with pytest.raises(InputInvalid, match="x has the type FP8, which cannot be sent"):
        load_inputs.random_requests(of_type("FP8"), 1, 0)


def test_an_answer_is_read_back_as_it_was_written():
    label = np.array([[3], [7]], np.int64)
    request = inference.build({"label": label}, [], None)
    body = request.body.replace(b'"inputs"', b'"outputs"')
    outputs = read_answer(body, str(int(request.headers[HEADER_LENGTH]) + 1))
    np.testing.assert_array_equal(outputs["label"], label)
    assert inference.predicted_labels(outputs["label"]).tolist() == [3, 7]
    scores = np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)
    assert inference.predicted_labels(scores).tolist() == [1, 0]


def answered(array):
    """Read an array back from an answer that has it as binary data."""
    request = inference.build({"y": array}, [], None)
    body = request.body.replace(b'"inputs"', b'"outputs"')
    return read_answer(body, str(int(request.headers[HEADER_LENGTH]) + 1))["y"]


def test_texts_in_an_answer_are_labels():
    found = answered(np.array([[b"de"], ["Fähre".encode()]], np.object_))
    assert found.shape == (2, 1)
    assert inference.predicted_labels(found).tolist() == ["de", "Fähre"]


def test_bfloat16_in_an_answer_is_read_as_float32():
    found = answered(np.array([[1.5, -2]], ml_dtypes.bfloat16))
    assert found.dtype == np.float32
    assert found.tolist() == [[1.5, -2]]


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
        pytest.param(
            b'{"outputs":[{"name":"y","datatype":"BYTES","shape":[1],'
            b'"parameters":{"binary_data_size":0}}]}',
            id="no text where one was announced",
        ),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(body):
    with pytest.raises(AnswerInvalid, match="not an answer of the v2 protocol"):
        read_answer(body, None)


def test_a_text_cut_short_is_no_answer():
    header = (
        b'{"outputs":[{"name":"y","datatype":"BYTES","shape":[1],'
        b'"parameters":{"binary_data_size":6}}]}'
    )
    with pytest.raises(AnswerInvalid, match="not an answer of the v2 protocol"):
        read_answer(header + b"\x05\x00\x00\x00he", str(len(header)))


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


PAGES = dataclasses.replace(
    Signature.from_metadata(
        {
            "inputs": [
                {"name": "page", "datatype": "UINT8", "shape": [-1, -1, 3]},
                {"name": "floor", "datatype": "FP32", "shape": [1]},
            ],
            "outputs": [{"name": "text", "datatype": "BYTES", "shape": [1]}],
        }
    ),
    max_batch_size=0,
)


def test_drawn_inputs_of_any_size_have_the_shape_that_is_stated():
    requests = load_inputs.random_requests(PAGES, 1, 0, {"page": (6, 5, 3)})
    header, _ = opened(requests[0])
    shapes = {entry["name"]: entry["shape"] for entry in header["inputs"]}
    assert shapes == {"page": [6, 5, 3], "floor": [1]}


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        pytest.param({"image": (6, 5, 3)}, r"shapes of \['image'\]", id="of no input"),
        pytest.param({"page": (6, 5)}, "page: a shape of", id="too few dimensions"),
        pytest.param({"page": (6, 5, 4)}, "page: a shape of", id="another size than the model's"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, words):
    with pytest.raises(InputInvalid, match=words):
        load_inputs.random_requests(PAGES, 1, 0, shapes)


def test_several_inputs_come_from_a_file_each():
    arrays = {
        "page": np.zeros((2, 4, 4, 3), np.uint8),
        "floor": np.ones((2, 1)),
        "labels": np.array(["a", "b"]),
    }
    first, second = load_inputs.from_arrays(arrays, PAGES, 1)
    assert [entry["shape"] for entry in opened(first)[0]["inputs"]] == [[4, 4, 3], [1]]
    assert (first.expected_labels.tolist(), second.expected_labels.tolist()) == (["a"], ["b"])


def test_a_file_of_one_array_is_told_from_one_of_several(tmp_path):
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "many.npz", a=np.ones(3))
    assert load_inputs.read_array(tmp_path / "one.npy").shape == (3,)
    with pytest.raises(InputInvalid, match="give it without a name"):
        load_inputs.read_array(tmp_path / "many.npz")
