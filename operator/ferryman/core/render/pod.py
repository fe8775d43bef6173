"""The pieces of a Triton pod, for serving Deployments and benchmark Jobs alike.

An init container lays the model repository out in an ``emptyDir``: version folders become links
to the read-only model volume, ``config.pbtxt`` is a copy. So the model's files are never
written, and a pod that restarts comes up with the configuration that was decided last.
"""

from collections.abc import Iterable
from typing import Final

from ferryman.api import names
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.pod_settings import PodSecurity
from ferryman.api.scheduling import Toleration
from ferryman.core.errors import RejectedError
from ferryman.core.manifests import Manifest

#: tritonserver answers only once the model is loaded: large models may take an hour.
STARTUP_PERIOD_S: Final = 2
STARTUP_FAILURES: Final = 1800
VOLUME_MODEL: Final = "model"
VOLUME_CONFIG: Final = "config"
CONTROL_KEY_ENTRY: Final = "key"
#: What the layout container says of a volume without files; ``serving.diagnose`` looks for it.
EMPTY_VOLUME: Final = "the model volume is empty"
#: What it says of a library that Triton would take in place of the live cap's.
OWN_STRATEGY: Final = f"the model volume has a {names.STRATEGY_LIBRARY} of its own"
#: Set in the layout container of pods that get a live cap.
LIVE_CAP_ENV: Final = "FERRYMAN_LIVE_CAP"
_CONFIG_ENV: Final = "FERRYMAN_CONFIG"
_MODEL_ENV: Final = "FERRYMAN_MODEL"
_USER_ID: Final = 1000

#: POSIX sh. Version folders are those that Triton accepts: a number not starting with 0.
LAYOUT_SCRIPT: Final = f"""\
set -eu
target={names.PATH_REPOSITORY}/${_MODEL_ENV}
into=$target/1
found=
for path in {names.PATH_MODEL}/*; do
  case ${{path##*/}} in
    '*' | lost+found | {names.CONFIG_FILE}) ;;
    0* | *[!0-9]*) found=1 ;;
    *) found=1; if [ -d "$path" ]; then into=$target; fi ;;
  esac
done
if [ -z "$found" ]; then
  echo "{EMPTY_VOLUME}: put the model's files, or numbered version folders, at its top" >&2
  exit 1
fi
rm -rf "$target"
mkdir -p "$into"
for path in {names.PATH_MODEL}/*; do
  case ${{path##*/}} in
    lost+found | {names.CONFIG_FILE}) ;;
    *) ln -s "$path" "$into/" ;;
  esac
done
if [ -n "${{{LIVE_CAP_ENV}:-}}" ]; then
  for path in "$target/{names.STRATEGY_LIBRARY}" "$target"/*/{names.STRATEGY_LIBRARY}; do
    if [ -e "$path" ]; then
      echo "{OWN_STRATEGY}: state {names.PARAMETER_STRATEGY} in spec.model.config, or remove it" >&2
      exit 1
    fi
  done
fi
if [ -n "${{{_CONFIG_ENV}:-}}" ]; then
  printf '%s' "${_CONFIG_ENV}" > "$target/{names.CONFIG_FILE}"
else
  cp {names.PATH_CONFIG}/{names.CONFIG_FILE} "$target/{names.CONFIG_FILE}"
fi
"""


def triton_container(
    model_name: str,
    entry: RuntimeProcessor,
    *,
    storage_uri: str,
    resources: ResourceRequirements | None = None,
    pull_policy: str = "IfNotPresent",
    control_secret: str | None = None,
) -> Manifest:
    """Return the container that serves one model.

    With ``control_secret`` (the name of a Secret) the APIs that change the server answer only
    to holders of its key. ``resources`` replace the runtime's own.
    """
    return {
        "name": names.CONTAINER_TRITON,
        "image": entry.image,
        "imagePullPolicy": pull_policy,
        "command": ["tritonserver"],
        "args": [*_arguments(model_name, restricted=control_secret is not None), *entry.args],
        "env": [*_control_key(control_secret), *(variable.as_literal() for variable in entry.env)],
        "ports": [
            {"name": "http", "containerPort": names.PORT_HTTP, "protocol": "TCP"},
            {"name": "grpc", "containerPort": names.PORT_GRPC, "protocol": "TCP"},
            {"name": "metrics", "containerPort": names.PORT_METRICS, "protocol": "TCP"},
        ],
        "resources": resource_block(entry, resources),
        "startupProbe": _probe("/v2/health/live", STARTUP_PERIOD_S, STARTUP_FAILURES),
        "livenessProbe": _probe("/v2/health/live", 10, 6),
        "readinessProbe": _probe(f"/v2/models/{model_name}/ready", 5, 3),
        "securityContext": _container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "repository", "mountPath": names.PATH_REPOSITORY},
            _model_mount(storage_uri),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  likewise
        ],
    }


def layout_container(
    model_name: str,
    entry: RuntimeProcessor,
    *,
    storage_uri: str,
    resources: ResourceRequirements | None = None,
    pull_policy: str = "IfNotPresent",
    inline_config: str | None = None,
) -> Manifest:
    """Return the init container that lays the model repository out.

    The configuration is ``inline_config`` where given, otherwise the file in the volume
    ``config`` (see ``volumes``).
    """
    env = [{"name": _MODEL_ENV, "value": model_name}]
    mounts = [
        {"name": "repository", "mountPath": names.PATH_REPOSITORY},
        _model_mount(storage_uri),
    ]
    if inline_config is None:
        mounts.append({"name": VOLUME_CONFIG, "mountPath": names.PATH_CONFIG, "readOnly": True})
    else:
        # Kubernetes expands $(NAME) in values; $$ stands for one dollar.
        env.append({"name": _CONFIG_ENV, "value": inline_config.replace("$", "$$")})
    return {
        "name": names.CONTAINER_LAYOUT,
        "image": entry.image,
        "imagePullPolicy": pull_policy,
        "command": ["/bin/sh", "-c", LAYOUT_SCRIPT],
        "env": env,
        "resources": _without_devices(resource_block(entry, resources)),
        "securityContext": _container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def tolerations(tolerated: Iterable[Toleration]) -> Manifest:
    """Return the field of a pod's specification, or no field where there is nothing to tolerate."""
    entries = [toleration.as_dict() for toleration in tolerated]
    return {"tolerations": entries} if entries else {}


def volumes(
    storage_uri: str, *, pull_policy: str = "IfNotPresent", config_map: str | None = None
) -> list[Manifest]:
    """Return the volumes that both containers mount.

    ``config_map`` names the ConfigMap with ``config.pbtxt``; without it the layout container
    must be given its configuration inline. Raises RejectedError for an unknown storageUri.
    """
    config = [{"name": VOLUME_CONFIG, "configMap": {"name": config_map}}] if config_map else []
    return [
        {"name": VOLUME_MODEL, **_model_source(storage_uri, pull_policy)},
        *config,
        {"name": "repository", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]


def pod_security(chosen: PodSecurity | None = None) -> Manifest:
    """Return the pod's securityContext: a plain user, the default system call filter."""
    stated = chosen or PodSecurity()
    ours = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    users = {} if stated.user == "Namespace" else {"runAsUser": _USER_ID, "runAsGroup": _USER_ID}
    return {**users, **stated.as_security_context(), **ours}


def resource_block(entry: RuntimeProcessor, resources: ResourceRequirements | None) -> Manifest:
    """Return a container's resources: stated ones or the runtime's, and one device if any."""
    chosen = resources or entry.resources
    limits = dict(chosen.limits)
    if entry.resource_name is not None:
        limits.setdefault(entry.resource_name, 1)
    block = {"requests": dict(chosen.requests), "limits": limits}
    return {kind: amounts for kind, amounts in block.items() if amounts}


def _without_devices(block: Manifest) -> Manifest:
    """Leave out extended resources, which alone have a domain in their names."""
    plain = {
        kind: {name: amount for name, amount in amounts.items() if "/" not in name}
        for kind, amounts in block.items()
    }
    return {kind: amounts for kind, amounts in plain.items() if amounts}


def _model_source(storage_uri: str, pull_policy: str) -> Manifest:
    scheme, _, rest = storage_uri.partition("://")
    if scheme == "oci" and rest:
        return {"image": {"reference": rest, "pullPolicy": pull_policy}}
    if scheme == "pvc" and rest.partition("/")[0]:
        return {"persistentVolumeClaim": {"claimName": rest.partition("/")[0], "readOnly": True}}
    raise RejectedError(
        Reason.INVALID_SPEC,
        f"storageUri {storage_uri!r} cannot be served: write oci://IMAGE or pvc://CLAIM/PATH",
    )


def copying(container: Manifest, source: str, target: str, layout: Manifest) -> Manifest:
    """Return an init container that copies one file, bounded as the one that lays out is."""
    like = ("imagePullPolicy", "resources", "securityContext", "terminationMessagePolicy")
    return {**container, "command": ["cp", source, target], **{key: layout[key] for key in like}}


def _model_mount(storage_uri: str) -> Manifest:
    mount = {"name": VOLUME_MODEL, "mountPath": names.PATH_MODEL, "readOnly": True}
    scheme, _, rest = storage_uri.partition("://")
    path = rest.partition("/")[2].strip("/") if scheme == "pvc" else ""
    return {**mount, "subPath": path} if path else mount


def _arguments(model_name: str, *, restricted: bool) -> list[str]:
    arguments = [
        f"--model-repository={names.PATH_REPOSITORY}",
        "--model-control-mode=explicit",
        f"--load-model={model_name}",
        "--exit-on-error=false",
        "--allow-vertex-ai=false",
        "--allow-sagemaker=false",
        "--metrics-config=summary_latencies=true",
    ]
    if restricted:
        lock = f"{names.RESTRICTED_APIS}:{names.CONTROL_KEY_NAME}=$({names.CONTROL_KEY_ENV})"
        arguments += [f"--http-restricted-api={lock}", f"--grpc-restricted-protocol={lock}"]
    return arguments


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


def _container_security() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
