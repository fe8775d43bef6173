"""How a serving pod ends: for how long it goes on, and what lets its clients leave it meanwhile.

A pod that is deleted is told so (preStop) at the time at which its endpoint begins to go; Triton
is told when preStop is over. Until then its clients must have left:

    preStop ≥ 1.1 x connection age + endpoint lag + longest request

gRPC draws the age of each connection from ± 10 % around the one that is asked for. What comes
back before the endpoint is gone everywhere may come to this pod again; what was sent last is
answered. Connections over HTTP are told to close by every answer, and those that rest are ended.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

from ferryman.api import names
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import DrainStatus
from ferryman.api.inference_runtime import RuntimeDrain
from ferryman.core.manifests import Manifest
from ferryman.core.render import pod

#: From the beginning of a pod's end until no node sends it new connections.
ENDPOINT_LAG_S: Final = 1
#: In percent, gRPC's jitter of a connection's age.
AGE_JITTER_PERCENT: Final = 10
#: A connection over HTTP that has been quiet for so long is ended rather than waited for.
HTTP_QUIET_S: Final = 10
#: Where nothing drains: endpoints go, new connections stay away.
UNDRAINED_S: Final = 5
#: What rests is ended so long before Triton is told, which then finds no connection.
BEFORE_EXIT_S: Final = 2
#: tritonserver then waits for requests in flight; a clean exit takes 2 s and a model's unloading.
EXIT_TIMEOUT_S: Final = 20
#: Before the kubelet kills.
KILL_SLACK_S: Final = 6
#: Of the volume of flag and library.
DRAIN_LIMIT: Final = "16Mi"
#: What preStop and the container's own start say to the library, in POSIX sh. A container that
#: starts anew in its pod finds the flag of its end before.
RAISE_FLAG: Final = f"true > {names.DRAIN_FLAG}"
LOWER_FLAG: Final = f"rm -f {names.DRAIN_FLAG}"


@dataclass(frozen=True, slots=True)
class Ending:
    """The times of a pod's end, in seconds."""

    pre_stop_s: int
    exit_timeout_s: int
    grace_s: int
    age_s: int | None = None
    """The age at which gRPC connections are renewed; None: they are not."""
    library: bool = False
    """Whether the drain library is preloaded."""

    @property
    def window_s(self) -> int:
        """After how much quiet a connection over HTTP is ended."""
        return self.pre_stop_s - BEFORE_EXIT_S


def ending(drain: RuntimeDrain | None, longest_request_s: int) -> Ending:
    """Return the times of a pod's end under a runtime for a model of such requests."""
    library = drain is not None and drain.library is not None
    age_s = drain.grpc_connection_age_seconds if drain is not None else None
    oldest_s = ceil((100 + AGE_JITTER_PERCENT) * (age_s or 0) / 100)
    leaving_s = max(oldest_s, HTTP_QUIET_S if library else 0)
    told_s = leaving_s + ENDPOINT_LAG_S if leaving_s else UNDRAINED_S
    pre_stop_s = told_s + longest_request_s
    exit_timeout_s = max(EXIT_TIMEOUT_S, longest_request_s)
    grace_s = pre_stop_s + exit_timeout_s + KILL_SLACK_S
    return Ending(pre_stop_s, exit_timeout_s, grace_s, age_s, library)


def status(found: Ending, runtime: str) -> DrainStatus:
    """Return what to report: which clients leave pods that end, and why others do not."""
    http, grpc = found.library, found.age_s is not None
    if http and grpc:
        message = f"clients leave within the {found.pre_stop_s} s before a pod's server ends"
        return DrainStatus(http=True, grpc=True, reason=Reason.DRAINS, message=message)
    reason = Reason.DRAINS_IN_PART if http or grpc else Reason.NO_DRAIN
    kept = [word for word, drains in (("HTTP", http), ("gRPC", grpc)) if not drains]
    fields = {"HTTP": "drain.library", "gRPC": "drain.grpcConnectionAgeSeconds"}
    message = (
        f"a pod that ends may fail requests of clients that keep {' and '.join(kept)} connections: "
        f"runtime {runtime} states no {' and no '.join(fields[word] for word in kept)}"
    )
    return DrainStatus(http=http, grpc=grpc, reason=reason, message=message)


def add(spec: Manifest, drain: RuntimeDrain | None, found: Ending) -> Manifest:
    """Return a pod's specification with its end; the first container is Triton's.

    The library is preloaded into tritonserver alone, beside what the image or its owner preloads.
    """
    triton = spec["containers"][0]
    arguments = [*_arguments(found), *triton["args"]]
    timed = {
        **spec,
        "terminationGracePeriodSeconds": found.grace_s,
        "containers": [{**triton, "args": arguments, "lifecycle": _pre_stop(found)}],
    }
    if drain is None or drain.library is None:
        return timed
    return _with_library(timed, drain, drain.library, found)


def _with_library(spec: Manifest, drain: RuntimeDrain, library: str, found: Ending) -> Manifest:
    triton = spec["containers"][0]
    layout = spec["initContainers"][0]
    copied = f"{names.PATH_DRAIN}/{names.DRAIN_LIBRARY}"
    mount = {"name": names.VOLUME_DRAIN, "mountPath": names.PATH_DRAIN}
    copying = [_copying_container(drain.image, library, copied, layout)] if drain.image else []
    env = [
        {"name": names.DRAIN_FILE_ENV, "value": names.DRAIN_FLAG},
        {"name": names.DRAIN_WINDOW_ENV, "value": str(found.window_s * 1000)},
    ]
    started = {
        **triton,
        "command": ["/bin/sh", "-c", _start_script(copied if drain.image else library), "sh"],
        "args": [*triton["command"], *triton["args"]],
        "env": [*triton["env"], *env],
        "volumeMounts": [*triton["volumeMounts"], mount],
    }
    return {
        **spec,
        "initContainers": [*spec["initContainers"], *copying],
        "containers": [started],
        "volumes": [
            *spec["volumes"],
            {"name": names.VOLUME_DRAIN, "emptyDir": {"sizeLimit": DRAIN_LIMIT}},
        ],
    }


def _start_script(library: str) -> str:
    preload = f"LD_PRELOAD={library}${{LD_PRELOAD:+:$LD_PRELOAD}}"
    return f'{LOWER_FLAG}; export {preload}; exec "$@"'


def _pre_stop(found: Ending) -> Manifest:
    if not found.library:
        return {"preStop": {"sleep": {"seconds": found.pre_stop_s}}}
    # A flag that cannot be raised must not shorten the sleep.
    script = f"{RAISE_FLAG}; sleep {found.pre_stop_s}"
    return {"preStop": {"exec": {"command": ["/bin/sh", "-c", script]}}}


def _arguments(found: Ending) -> list[str]:
    age = [] if found.age_s is None else [f"--grpc-max-connection-age={found.age_s * 1000}"]
    return [f"--exit-timeout-secs={found.exit_timeout_s}", *age]


def _copying_container(image: str, library: str, target: str, layout: Manifest) -> Manifest:
    container = {
        "name": names.CONTAINER_DRAIN,
        "image": image,
        "volumeMounts": [{"name": names.VOLUME_DRAIN, "mountPath": names.PATH_DRAIN}],
    }
    return pod.copying(container, library, target, layout)
