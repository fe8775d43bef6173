"""The ModelConfig of a proxy: a model that stands in a step's place and asks the step's own server.

It has the step's inputs, outputs and bound, so that the ensemble is the same whether the step is
here or elsewhere. It forms no batches: the step's server does that with what it gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ferryman.api.model_source import TritonConfig

#: Triton's backend for the proxy's program.
BACKEND: Final = "python"
#: Its program in the version folder.
FILE: Final = "model.py"
#: Requests that one server has under way at one step's servers; others wait in its queue.
CALLS: Final = 64
_HOST: Final = "FERRYMAN_STEP_HOST"


@dataclass(frozen=True, slots=True)
class StepServer:
    """Where a step is served, and how long an answer may take."""

    host: str
    """A name that has an address for each pod."""
    port: int
    model: str
    """What the step's model is called there."""
    deadline_ms: int
    calls: int = CALLS


def is_proxy(config: Mapping[str, Any]) -> bool:
    """Whether a model's configuration is that of a proxy."""
    return _HOST in config.get("parameters", {})


def proxy_config(name: str, step: Mapping[str, Any], server: StepServer) -> TritonConfig:
    """Return the proxy's configuration; ``step`` is the step's own, as a server completed it."""
    parameters = {
        _HOST: server.host,
        "FERRYMAN_STEP_PORT": str(server.port),
        "FERRYMAN_STEP_MODEL": server.model,
        "FERRYMAN_STEP_DEADLINE_MS": str(server.deadline_ms),
        "FERRYMAN_STEP_CALLS": str(server.calls),
    }
    return {
        "name": name,
        "backend": BACKEND,
        "max_batch_size": int(step.get("max_batch_size", 0)),
        "input": [_input(each) for each in step["input"]],
        "output": [_output(each) for each in step["output"]],
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "model_transaction_policy": {"decoupled": False},
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }


def _input(tensor: Mapping[str, Any]) -> dict[str, Any]:
    optional = {"optional": True} if tensor.get("optional") else {}
    return {**_output(tensor), **optional}


def _output(tensor: Mapping[str, Any]) -> dict[str, Any]:
    dims = [int(size) for size in tensor["dims"]]
    return {"name": tensor["name"], "data_type": tensor["data_type"], "dims": dims}
