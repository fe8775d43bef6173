"""Whether a model serves, what keeps it from it, and how its pods end."""

from collections.abc import Mapping
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.vocabulary.reasons.explanation import Explanation

REASONS: Final[Mapping[str, Explanation]] = {
    Reason.RUNTIME_NOT_FOUND: Explanation(
        "`spec.runtimeRef` names an InferenceRuntime that does not exist.",
        "Correct the name, or create the runtime: `kubectl get inferenceruntimes` lists them.",
    ),
    Reason.INVALID_CONFIG: Explanation(
        "`spec.model.config`, or the configuration that comes of it, is not one Triton could load.",
        "Correct the field that the message names.",
    ),
    Reason.INVALID_SPEC: Explanation(
        "The object cannot be read, or a value in it cannot: it was stored under another schema, "
        "or is too large.",
        "Correct or shorten what the message names.",
    ),
    Reason.SERVING: Explanation("All replicas serve what is specified."),
    Reason.APPLYING: Explanation("What was decided last is being written to the API server."),
    Reason.DEPLOYING: Explanation(
        "Pods start, or are replaced by those of a new specification.",
        "Wait; where it takes longer than `spec.progressDeadlineSeconds` that is said.",
    ),
    Reason.SCALED_TO_ZERO: Explanation(
        "No replicas are asked for.", "Raise `spec.replicas` to serve."
    ),
    Reason.NAME_TAKEN: Explanation(
        "An object that is to be Ferryman's exists and is somebody else's.",
        "Rename the model, or remove that object.",
    ),
    Reason.APPLY_REFUSED: Explanation(
        "The API server refuses an object for good: a policy, a quota, or a field it does not "
        "know.",
        "The message has its words; correct the model, or have the policy changed.",
    ),
    Reason.IMAGE_NOT_AVAILABLE: Explanation(
        "The runtime's image, or another that the pod needs, cannot be pulled.",
        "Correct the image in the InferenceRuntime, its pull secret, or the registry.",
    ),
    Reason.MODEL_SOURCE_NOT_FOUND: Explanation(
        "The model's image cannot be pulled or mounted, or its claim, folder, bucket, repository "
        "or file does not exist.",
        "Correct `storageUri`. Image volumes need Kubernetes 1.35, or 1.33 with the feature gate "
        "`ImageVolume`, and a container runtime that has them.",
    ),
    Reason.MODEL_SOURCE_FORBIDDEN: Explanation(
        "The server of the model's files refuses the credentials, or wants some and got none.",
        "Correct the Secret that `spec.model.fetch.secretName` names, or give the service account "
        "the right to read. Pods try again by themselves.",
    ),
    Reason.MODEL_SOURCE_MISMATCH: Explanation(
        "What was fetched is not what `spec.model.fetch.sha256` says, or changed meanwhile.",
        "Find out who changed the files; where the change is meant, write the digest of the "
        "message into `sha256`.",
    ),
    Reason.MODEL_SOURCE_TOO_LARGE: Explanation(
        "The files, or what an archive unpacks to, exceed `spec.model.fetch.sizeLimit`, or are too "
        "many.",
        "Raise `sizeLimit`, or name a smaller folder in `storageUri`.",
    ),
    Reason.MODEL_SOURCE_NOT_STORED: Explanation(
        "The node's disk does not take the files: it is full, has no inodes left, or fails.",
        "Free or repair the disk of the pod's node, or keep the model on other nodes by "
        "`spec.placement`. Pods try again by themselves.",
    ),
    Reason.MODEL_SOURCE_TOO_SLOW: Explanation(
        "Fetching took longer than `spec.model.fetch.deadlineSeconds`; it begins anew.",
        "Raise the deadline, or bring the files closer: an image or a volume claim of the cluster.",
    ),
    Reason.MODEL_SOURCE_UNREACHABLE: Explanation(
        "The server's name is not found, it does not answer, or its certificate is not trusted.",
        "Correct `storageUri` or `fetch.endpoint`, state a private authority by "
        "`fetch.caConfigMapName`, and look at NetworkPolicies and firewalls on the way.",
    ),
    Reason.MODEL_SOURCE_UNSAFE: Explanation(
        "An archive or a listing has paths that leave the folder, links or devices, holds a file "
        "twice, or cannot be read.",
        "Pack plain files and folders again, with paths relative to the model's folder.",
    ),
    Reason.MODEL_SOURCE_MISCONFIGURED: Explanation(
        "The Secret or the ConfigMap that fetching needs is missing, or lacks the entries that the "
        "source needs.",
        "Create it in the model's namespace, with the entries that "
        "`docs/how-to/model-sources.md` lists.",
    ),
    Reason.POD_UNSCHEDULABLE: Explanation(
        "kube-scheduler finds no node for a pod; after a while the model is placed elsewhere.",
        "Free resources on the node type, or add a node of it; the message has the scheduler's "
        "words.",
    ),
    Reason.POD_FAILING: Explanation(
        "A container ends again and again, was killed for its memory, or cannot be made.",
        "The message has its last words. For memory: raise `spec.resources.limits.memory`, or "
        "lower `spec.batching.limits`.",
    ),
    Reason.PROGRESS_DEADLINE_EXCEEDED: Explanation(
        "No replica became ready for `spec.progressDeadlineSeconds`.",
        "Look at the pods' events and logs: `kubectl describe pods -l "
        "serving.ferryman.dev/model=NAME`.",
    ),
    Reason.MODEL_LOADED: Explanation("Triton says that the model is ready."),
    Reason.MODEL_LOADING: Explanation("Triton is loading the model."),
    Reason.MODEL_LOAD_FAILED: Explanation(
        "Triton could not load the model.",
        "The message has Triton's words: correct the model's files or `spec.model.config`.",
    ),
    Reason.TRITON_UNREACHABLE: Explanation(
        "Pods are ready, but none answers the operator on Triton's gRPC port.",
        "Look at NetworkPolicies of the model's namespace, at a service mesh, and at the "
        "operator's log.",
    ),
    Reason.PUBLISHED_ADVISORIES: Explanation(
        "Vulnerabilities are published of the tritonserver that serves the model.",
        "Name a newer image in the InferenceRuntime; the message says from which release on they "
        "are mended.",
    ),
}

ENDING: Final[Mapping[str, Explanation]] = {
    Reason.DRAINS: Explanation(
        "Clients that keep their connections leave a pod before its server ends."
    ),
    Reason.DRAINS_IN_PART: Explanation(
        "Those over one protocol do, those over the other may see failed requests.",
        "State `drain.library` (HTTP) or `drain.grpcConnectionAgeSeconds` (gRPC) of the runtime.",
    ),
    Reason.NO_DRAIN: Explanation(
        "Clients that keep their connections may see failed requests when a pod ends.",
        "State `drain` of the runtime: `docs/ending-pods.md`.",
    ),
}
