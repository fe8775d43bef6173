"""What travels over gRPC: the same request and the same answer as over HTTP."""

import asyncio
from contextlib import suppress

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from ferryman.clients import inference
from ferryman.clients.inference import AnswerInvalid
from ferryman.clients.load import transports
from ferryman.clients.load.transports import ConnectionLost, RequestRefused, TargetUnavailable

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
REQUEST = inference.build({"input": ROWS}, ["label"], None)
ANSWER = service_pb2.ModelInferResponse(model_name="m")
ANSWER.outputs.add(name="label", datatype="INT64", shape=[2, 1])
ANSWER.raw_output_contents.append(np.array([3, 4], dtype=np.int64).tobytes())


class Fake(grpc.GenericRpcHandler):
    """Answers every call with the same bytes, or refuses it."""

    def __init__(self, answer=b"", code=None):
        self.answer, self.code, self.asked = answer, code, []

    def service(self, _):
        """Handle whatever is called."""

        async def handle(request, context):
            self.asked.append(request)
            if self.code is not None:
                await context.abort(self.code, "for a reason")
            return self.answer

        return grpc.unary_unary_rpc_method_handler(handle)


async def ask(fake):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((fake,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with transports.opened(f"grpc://127.0.0.1:{port}", "m") as transport:
            return (await transport.ask(REQUEST))()
    finally:
        await server.stop(None)


async def test_a_request_and_its_answer():
    fake = Fake(ANSWER.SerializeToString())
    outputs = await ask(fake)
    assert outputs["label"].tolist() == [[3], [4]]
    sent = service_pb2.ModelInferRequest.FromString(fake.asked[0])
    assert sent.model_name == "m"
    assert [(t.name, t.datatype, list(t.shape)) for t in sent.inputs] == [("input", "FP32", [2, 4])]
    assert list(sent.raw_input_contents) == [ROWS.tobytes()]
    assert [output.name for output in sent.outputs] == ["label"]


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        pytest.param(grpc.StatusCode.UNAVAILABLE, ConnectionLost, id="no connection"),
        pytest.param(grpc.StatusCode.NOT_FOUND, RequestRefused, id="an answer that refuses"),
    ],
)
async def test_a_call_that_fails(code, raised):
    with pytest.raises(raised, match=f"{code.name} for a reason"):
        await ask(Fake(code=code))


async def test_an_answer_that_lacks_a_tensor_is_none():
    lacking = service_pb2.ModelInferResponse(model_name="m")
    lacking.outputs.add(name="label", datatype="INT64", shape=[1])
    with pytest.raises(AnswerInvalid, match="0 tensors where 1 were described"):
        await ask(Fake(lacking.SerializeToString()))


async def test_clients_take_turns_and_share_no_connection():
    peers = set()

    class Noting(Fake):
        def service(self, _):
            """Note who asks."""

            async def handle(_, context):
                peers.add(context.peer())
                return ANSWER.SerializeToString()

            return grpc.unary_unary_rpc_method_handler(handle)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Noting(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with transports.opened(f"grpc://127.0.0.1:{port}", "m", 3) as transport:
            for _ in range(6):
                await transport.ask(REQUEST)
    finally:
        await server.stop(None)
    assert len(peers) == 3


async def test_a_server_that_is_not_there(unused_tcp_port):
    with pytest.raises(TargetUnavailable, match="does not answer: UNAVAILABLE"):
        await transports.signature_of(f"grpc://127.0.0.1:{unused_tcp_port}", "m")


class Wire:
    """Passes bytes on between a client and a server until it is cut, without a word to either."""

    def __init__(self, port):
        self.port, self.is_cut, self.writers, self.joined = port, False, [], []

    async def serve(self, reader, writer):
        """Join a client's connection with one of the server's."""
        self.joined.append(asyncio.current_task())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, there_writer]
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))

    async def _pass(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not self.is_cut:
                    writer.write(data)

    async def close(self):
        """End all connections."""
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*self.joined)


@pytest.mark.parametrize(
    ("keepalive_s", "outcome"),
    [
        pytest.param(1.0, ConnectionLost, id="asked after: it is given up"),
        pytest.param(None, TimeoutError, id="not asked after: it is waited on"),
    ],
)
async def test_a_connection_that_died_without_a_word(keepalive_s, outcome):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Fake(ANSWER.SerializeToString()),))
    wire = Wire(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    listening = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with transports.opened(
            f"grpc://127.0.0.1:{port}", "m", keepalive_s=keepalive_s
        ) as transport:
            await transport.ask(REQUEST)
            wire.is_cut = True
            with pytest.raises(outcome):
                await asyncio.wait_for(transport.ask(REQUEST), 3)
    finally:
        listening.close()
        await wire.close()
        await server.stop(None)
