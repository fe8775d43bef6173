"""A program that chains models over gRPC, as one would write it beside Triton: to compare with.

    python -m benchmarks.pipelines.orchestrator PORT MODEL@HOST:PORT:INPUT ...

It answers the KServe v2 protocol's ModelInfer, hands the bytes of each answer on as they are, and
waits for nothing but the network (asyncio, gRPC's own).
"""

import asyncio
import sys
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

OUTPUT = "sum"
#: As Triton's own servers and clients have it.
UNBOUND = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class Chain(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers with what the last model makes of what those before made."""

    def __init__(self, steps: list[tuple[str, str, Any]]) -> None:
        self._steps = steps

    async def ModelInfer(self, request: Any, _: Any) -> Any:  # noqa: ANN401, N802  gRPC's
        """Ask one model after the other."""
        answer = None
        for model, tensor, stub in self._steps:
            asked = service_pb2.ModelInferRequest(model_name=model)
            source = request.inputs[0] if answer is None else answer.outputs[0]
            asked.inputs.add(name=tensor, datatype=source.datatype, shape=source.shape)
            raw = request.raw_input_contents if answer is None else answer.raw_output_contents
            asked.raw_input_contents.append(raw[0])
            asked.outputs.add(name=OUTPUT)
            answer = await stub.ModelInfer(asked)
        return answer


async def serve(port: int, stated: list[str]) -> None:
    """Serve until somebody ends the process."""
    steps = []
    for each in stated:
        model, _, rest = each.partition("@")
        address, _, tensor = rest.rpartition(":")
        channel = grpc.aio.insecure_channel(address, options=UNBOUND)
        steps.append((model, tensor, service_pb2_grpc.GRPCInferenceServiceStub(channel)))
    server = grpc.aio.server(options=UNBOUND)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Chain(steps), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
