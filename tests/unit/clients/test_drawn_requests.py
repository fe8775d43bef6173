"""Requests with drawn values: what Triton is sent."""

import pytest
from tritonclient.grpc import service_pb2

from ferryman.clients.drawn_requests import DrawnRequests
from ferryman.clients.inference import Tensor


def read(encoded):
    return service_pb2.ModelInferRequest.FromString(encoded)


def test_a_batch_repeats_one_inference():
    requests = DrawnRequests("m", [Tensor("x", "FP32", (3, 2)), Tensor("ids", "INT64", (5,))])
    assert requests.row_bytes == 3 * 2 * 4 + 5 * 8
    message = read(requests.message(4))
    assert message.model_name == "m"
    assert [(t.name, t.datatype, list(t.shape)) for t in message.inputs] == [
        ("x", "FP32", [4, 3, 2]),
        ("ids", "INT64", [4, 5]),
    ]
    contents = message.raw_input_contents
    assert [len(content) for content in contents] == [4 * 24, 4 * 40]
    assert contents[0] == contents[0][:24] * 4
    assert len({contents[0][i : i + 4] for i in range(0, 24, 4)}) > 1, "values differ"


def test_of_a_large_input_values_are_repeated_and_not_all_drawn():
    large = Tensor("x", "FP32", (1, 2**18))
    assert len(read(DrawnRequests("m", [large]).message(1)).raw_input_contents[0]) == 2**20


@pytest.mark.parametrize("datatype", ["BYTES", "BOOL", "FP16", "BF16", "UINT8"])
def test_every_type_can_be_sent(datatype):
    requests = DrawnRequests("m", [Tensor("x", datatype, (3,))])
    content = read(requests.message(2)).raw_input_contents[0]
    assert len(content) == 2 * requests.row_bytes


def test_inputs_without_dimensions_or_values_are_sent_as_well():
    requests = DrawnRequests("m", [Tensor("scalar", "INT32", ()), Tensor("none", "FP32", (0,))])
    assert requests.row_bytes == 4
    assert [len(content) for content in read(requests.message(3)).raw_input_contents] == [12, 0]


def test_a_type_that_is_none_is_refused():
    with pytest.raises(ValueError, match="cannot be sent"):
        DrawnRequests("m", [Tensor("x", "FP8", (3,))])
