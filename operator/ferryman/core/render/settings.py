"""What owners add to pods: the runtime's and the model's word in one, and laid under our own.

Ferryman's labels, annotations and variables always win: the API refuses those of an owner, and an
object that was stored before it did so must not undo anything.
"""

from collections.abc import Iterable, Mapping

from ferryman.api.pods.pod_settings import EnvironmentVariable, ModelPodSettings, PodSettings
from ferryman.core.manifests import Manifest


def merged(runtime: PodSettings, model: ModelPodSettings) -> ModelPodSettings:
    """Return both in one: entries are added, and of the same name the model's count.

    A service account, a priority class and a security context are the model's or the runtime's.
    """
    secrets = {each.name: each for each in (*runtime.image_pull_secrets, *model.image_pull_secrets)}
    return ModelPodSettings(
        labels={**runtime.labels, **model.labels},
        annotations={**runtime.annotations, **model.annotations},
        service_account_name=model.service_account_name or runtime.service_account_name,
        image_pull_secrets=tuple(secrets.values()),
        priority_class_name=model.priority_class_name or runtime.priority_class_name,
        host_users=False
        if False in (runtime.host_users, model.host_users)
        else runtime.host_users or model.host_users,
        security_context=model.security_context or runtime.security_context,
        env=model.env,
    )


def metadata(
    settings: PodSettings, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Manifest:
    """Return a pod template's metadata, our labels and annotations over the owner's."""
    found = {
        "labels": {**settings.labels, **labels},
        "annotations": {**settings.annotations, **annotations},
    }
    return {field: entries for field, entries in found.items() if entries}


def identity(settings: PodSettings) -> Manifest:
    """Return the fields of a pod's specification that are stated: who it is, and how important."""
    secrets = [secret.as_dict() for secret in settings.image_pull_secrets]
    found = {
        "serviceAccountName": settings.service_account_name,
        "imagePullSecrets": secrets,
        "priorityClassName": settings.priority_class_name,
        "hostUsers": settings.host_users,
    }
    return {field: value for field, value in found.items() if value not in (None, "", [])}


def environment(
    runtime: Iterable[EnvironmentVariable], model: Iterable[EnvironmentVariable]
) -> tuple[EnvironmentVariable, ...]:
    """Return the owners' variables, the model's in place of the runtime's of the same name."""
    return tuple({variable.name: variable for variable in (*runtime, *model)}.values())
