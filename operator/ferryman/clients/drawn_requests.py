"""Requests with drawn values, as gRPC messages: one inference is drawn and repeated for a batch."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from tritonclient.grpc import service_pb2

from ferryman.clients import inference
from ferryman.clients.inference import Tensor

SEED: Final = 1
#: So many values of an input are drawn; a larger one repeats them.
_DRAWN: Final = 2**14


class DrawnRequests:
    """The requests for one model that takes batches."""

    def __init__(self, model: str, inputs: Sequence[Tensor]) -> None:
        """Take the inputs without their batch dimension.

        Raises ValueError for a type that cannot be sent.
        """
        self._model = model
        self._inputs = tuple(inputs)
        self.row_bytes = sum(math.prod(each.shape) * each.item_bytes for each in self._inputs)
        """Bytes of one inference."""

    def message(self, batch_size: int) -> bytes:
        """Return the request for a batch, encoded."""
        request = service_pb2.ModelInferRequest(model_name=self._model)
        for each in self._inputs:
            shape = (batch_size, *each.shape)
            request.inputs.add(name=each.name, datatype=each.datatype, shape=shape)
            request.raw_input_contents.append(_row(each) * batch_size)
        encoded: bytes = request.SerializeToString()
        return encoded


def _row(tensor: Tensor) -> bytes:
    values = math.prod(tensor.shape)
    drawn = inference.draw(np.random.default_rng(SEED), tensor, (min(values, _DRAWN),))
    repeated = inference.serialised(drawn) * math.ceil(values / _DRAWN)
    return repeated[: values * tensor.item_bytes]
