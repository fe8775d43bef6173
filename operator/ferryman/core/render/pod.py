"""The pieces of a Triton pod, for serving Deployments and benchmark Jobs alike.

An init container lays the model repository out in an ``emptyDir``: version folders become links
to the read-only model volume, ``config.pbtxt`` is a copy. So the model's files are never
written, and a pod that restarts comes up with the configuration that was decided last.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from ferryman.api import names
from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.pods.pod_settings import PodSecurity
from ferryman.api.pods.scheduling import Toleration
from ferryman.core.manifests import Manifest
from ferryman.core.render import sources
from ferryman.core.render.layout import CONFIG_ENV, MODEL_ENV, layout_script, suffix
from ferryman.core.render.slots import ServedModel

#: tritonserver answers only once the model is loaded: large models may take an hour.
STARTUP_PERIOD_S: Final = 2
STARTUP_FAILURES: Final = 1800
#: The kubelet evicts a pod that writes more than this to its node's disk. The repository holds
#: links, a configuration and a library; /tmp may hold a Python environment, packed for a model.
REPOSITORY_LIMIT: Final = "64Mi"
TMP_LIMIT: Final = "16Gi"
VOLUME_CONFIG: Final = "config"
_CONFIG_MOUNT: Final[Manifest] = {
    "name": VOLUME_CONFIG,
    "mountPath": names.PATH_CONFIG,
    "readOnly": True,
}
CONTROL_KEY_ENTRY: Final = "key"
#: Triton listens on IPv4 alone unless told otherwise. Its HTTP server (which names the family in
#: libevhtp's way), and with it the metrics, then listen on IPv6 alone.
ON_IPV6: Final = ("--http-address=ipv6:::", "--grpc-address=[::]")
#: POSIX sh. Only gRPC takes the key: over HTTP, what is restricted opens to one that nobody has.
#: The pod's specification holds neither, and the server's children see no variable of it. Triton
#: takes its locks as arguments alone, so that the key is in those of its process.
LOCK_SCRIPT: Final = f"""\
set -eu
read -r nobodys < /proc/sys/kernel/random/uuid
key=${{{names.CONTROL_KEY_ENV}:?}}
unset {names.CONTROL_KEY_ENV}
lock={names.RESTRICTED_APIS}:{names.CONTROL_KEY_NAME}
exec "$0" "$@" "--http-restricted-api=$lock=$nobodys" "--grpc-restricted-protocol=$lock=$key"
"""
_SERVER: Final = "tritonserver"
_LOCKED: Final = ("/bin/sh", "-c", LOCK_SCRIPT)
_USER_ID: Final = 1000


def triton_container(
    models: Sequence[ServedModel],
    entry: RuntimeProcessor,
    *,
    resources: ResourceRequirements | None = None,
    devices: int | None = None,
    pull_policy: str = "IfNotPresent",
    control_secret: str | None = None,
    ipv6: bool = False,
) -> Manifest:
    """Return the container that serves models, of which the last is what clients ask.

    With ``control_secret`` (the name of a Secret) the APIs that change the server answer only
    to holders of its key. ``resources`` replace the runtime's own. With ``ipv6`` the server listens
    on the pod's IPv6 addresses instead of those of IPv4.
    """
    return {
        "name": names.CONTAINER_TRITON,
        "image": entry.image,
        "imagePullPolicy": pull_policy,
        "command": [*(_LOCKED if control_secret is not None else ()), _SERVER],
        "args": [*_arguments(models), *(ON_IPV6 if ipv6 else ()), *entry.args],
        "env": [*_control_key(control_secret), *(variable.as_literal() for variable in entry.env)],
        "ports": [
            {"name": "http", "containerPort": names.PORT_HTTP, "protocol": "TCP"},
            {"name": "grpc", "containerPort": names.PORT_GRPC, "protocol": "TCP"},
            {"name": "metrics", "containerPort": names.PORT_METRICS, "protocol": "TCP"},
        ],
        "resources": resource_block(entry, resources, devices),
        "startupProbe": _probe("/v2/health/live", STARTUP_PERIOD_S, STARTUP_FAILURES),
        "livenessProbe": _probe("/v2/health/live", 10, 6),
        "readinessProbe": _probe(f"/v2/models/{models[-1].name}/ready", 5, 3),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "repository", "mountPath": names.PATH_REPOSITORY},
            *sources.mounts(models),
            *([_CONFIG_MOUNT] if _has_fileless(models) else []),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  likewise
        ],
    }


def layout_container(
    models: Sequence[ServedModel],
    entry: RuntimeProcessor,
    *,
    resources: ResourceRequirements | None = None,
    devices: int | None = None,
    pull_policy: str = "IfNotPresent",
    inline_config: str | None = None,
) -> Manifest:
    """Return the init container that lays the model repository out.

    The configuration of a single model is ``inline_config`` where given, otherwise they are files
    in the volume ``config`` (see ``volumes``).
    """
    env = [
        {"name": f"{MODEL_ENV}{suffix(index, models)}", "value": model.name}
        for index, model in enumerate(models)
    ]
    mounts = [
        {"name": "repository", "mountPath": names.PATH_REPOSITORY},
        *sources.mounts(models),
    ]
    if inline_config is None:
        mounts.append(_CONFIG_MOUNT)
    else:
        # Kubernetes expands $(NAME) in values; $$ stands for one dollar.
        env.append({"name": CONFIG_ENV, "value": inline_config.replace("$", "$$")})
    return {
        "name": names.CONTAINER_LAYOUT,
        "image": entry.image,
        "imagePullPolicy": pull_policy,
        "command": ["/bin/sh", "-c", layout_script(models)],
        "env": env,
        "resources": _without_devices(resource_block(entry, resources, devices)),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def tolerations(tolerated: Iterable[Toleration]) -> Manifest:
    """Return the field of a pod's specification, or no field where there is nothing to tolerate."""
    entries = [toleration.as_dict() for toleration in tolerated]
    return {"tolerations": entries} if entries else {}


def volumes(
    models: Sequence[ServedModel],
    *,
    pull_policy: str = "IfNotPresent",
    config_map: str | None = None,
) -> list[Manifest]:
    """Return the volumes that both containers mount.

    ``config_map`` names the ConfigMap with the configurations; without it the layout container
    must be given its configuration inline. Raises RejectedError for an unknown storageUri.
    """
    config = [{"name": VOLUME_CONFIG, "configMap": {"name": config_map}}] if config_map else []
    return [
        *sources.volumes(models, pull_policy),
        *config,
        {"name": "repository", "emptyDir": {"sizeLimit": REPOSITORY_LIMIT}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_LIMIT}},
        # Counted as the container's memory, and so limited by its limit.
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]


def pod_security(chosen: PodSecurity | None = None) -> Manifest:
    """Return the pod's securityContext: a plain user, the default system call filter."""
    stated = chosen or PodSecurity()
    ours = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    users = {} if stated.user == "Namespace" else {"runAsUser": _USER_ID, "runAsGroup": _USER_ID}
    return {**users, **stated.as_security_context(), **ours}


def resource_block(
    entry: RuntimeProcessor, resources: ResourceRequirements | None, devices: int | None = None
) -> Manifest:
    """Return a container's resources: stated ones or the runtime's, and one device if any.

    With ``devices`` that is how many, whatever the resources say of them.
    """
    chosen = resources or entry.resources
    requests, limits = dict(chosen.requests), dict(chosen.limits)
    if entry.resource_name is not None and devices is not None:
        requests.pop(entry.resource_name, None)  # it follows the limit, and must not differ
        limits[entry.resource_name] = devices
    elif entry.resource_name is not None:
        limits.setdefault(entry.resource_name, 1)
    block = {"requests": requests, "limits": limits}
    return {kind: amounts for kind, amounts in block.items() if amounts}


def _without_devices(block: Manifest) -> Manifest:
    """Leave out extended resources, which alone have a domain in their names."""
    plain = {
        kind: {name: amount for name, amount in amounts.items() if "/" not in name}
        for kind, amounts in block.items()
    }
    return {kind: amounts for kind, amounts in plain.items() if amounts}


def copying(container: Manifest, source: str, target: str, layout: Manifest) -> Manifest:
    """Return an init container that copies one file, bounded as the one that lays out is."""
    like = ("imagePullPolicy", "resources", "securityContext", "terminationMessagePolicy")
    return {**container, "command": ["cp", source, target], **{key: layout[key] for key in like}}


def _has_fileless(models: Iterable[ServedModel]) -> bool:
    return any(model.storage_uri is None for model in models)


def _arguments(models: Sequence[ServedModel]) -> list[str]:
    return [
        f"--model-repository={names.PATH_REPOSITORY}",
        "--model-control-mode=explicit",
        *(f"--load-model={model.name}" for model in models),
        "--exit-on-error=false",
        "--allow-vertex-ai=false",
        "--allow-sagemaker=false",
        "--metrics-config=summary_latencies=true",
    ]


def _control_key(secret: str | None) -> list[Manifest]:
    if secret is None:
        return []
    reference = {"secretKeyRef": {"name": secret, "key": CONTROL_KEY_ENTRY}}
    return [{"name": names.CONTROL_KEY_ENV, "valueFrom": reference}]


def _probe(path: str, period_s: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": names.PORT_HTTP},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def container_security() -> Manifest:
    """Return a container's securityContext: no privilege, no capability, nothing to write to."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
