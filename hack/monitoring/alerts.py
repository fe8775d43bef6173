"""The alerts, and for each what a person who is woken by it needs."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule of Prometheus', and its runbook."""

    name: str
    expression: str
    lasts: str
    """For how long it must be so."""
    severity: Literal["critical", "warning", "info"]
    summary: str
    """With Prometheus' own placeholders."""
    meaning: str
    impact: str
    diagnosis: tuple[str, ...]
    mitigation: tuple[str, ...]


_MODEL: Final = "{{ $labels.namespace }}/{{ $labels.model }}"
_CONDITIONS: Final = '{{__name__=~"ferryman_(model|pipeline)_condition",{0}}} == 1'
_OBJECT: Final = f"{_MODEL}{{{{ $labels.pipeline }}}}"


def _condition(name: str, status: str) -> str:
    return _CONDITIONS.format(f'condition="{name}",status="{status}"')


ALERTS: Final = (
    Alert(
        "FerrymanOperatorDown",
        "absent(ferryman_build_info)",
        "5m",
        "critical",
        "No Ferryman operator is scraped.",
        "Prometheus has no series of an operator: none runs, or it cannot be scraped.",
        "Models go on serving as they are. Nothing is placed, tuned or mended, and the status of "
        "models is as old as the operator's end.",
        (
            "`kubectl get pods -n ferryman-system -l app.kubernetes.io/component=operator`",
            "`kubectl logs -n ferryman-system deployment/ferryman-operator --previous`",
            (
                "A pod that runs and is ready: the target is missing in Prometheus. Look at the "
                "labels that it selects ServiceMonitors by (`monitoring.labels`), and at "
                "`monitoring.namespace`, without which the NetworkPolicy keeps Prometheus away."
            ),
        ),
        (
            "Correct what the log or the pod's events name.",
            "`ferryman doctor` looks at permissions, CRDs and versions.",
        ),
    ),
    Alert(
        "FerrymanOperatorNotReady",
        "ferryman_operator_ready == 0",
        "10m",
        "critical",
        "The Ferryman operator is not at work.",
        "The operator answers, and `/readyz` says what keeps it from its work: the API server is "
        "silent, the CRDs are missing, or permissions were withdrawn.",
        "As if it were down: models go on serving as they are.",
        (
            (
                "`kubectl get --raw /api/v1/namespaces/ferryman-system/services/"
                "ferryman-operator:8080/proxy/readyz` has the reason."
            ),
            "`kubectl logs -n ferryman-system deployment/ferryman-operator`",
        ),
        (
            "Install the CRDs or the ClusterRole again (`helm upgrade`).",
            "An API server that is silent is mended first.",
        ),
    ),
    Alert(
        "FerrymanReconcileFailing",
        'rate(ferryman_reconciles_total{result="error"}[10m]) > 0.02',
        "15m",
        "warning",
        "{{ $value | humanize }} reconciles per second fail.",
        "Reconciles end in errors and are tried again: more than one in a minute.",
        "The models concerned are not placed, changed or tuned; the others are.",
        (
            (
                "The operator's log has each: `kubectl logs -n ferryman-system "
                "deployment/ferryman-operator | grep 'tried again'` names model and error."
            ),
        ),
        (
            "Conflicts and time-outs pass by themselves.",
            "`Forbidden` is a permission or an admission policy that was changed.",
            "A trace in the log is a fault of Ferryman's own: please report it.",
        ),
    ),
    Alert(
        "FerrymanQueueWaits",
        "min_over_time(ferryman_queue_depth[15m]) > 0",
        "15m",
        "warning",
        "Objects have waited for the operator for a quarter of an hour.",
        "The work queue has not been empty for so long: the operator cannot keep up.",
        "Changes of specifications and of batching come late.",
        (
            (
                "`rate(ferryman_reconcile_seconds_sum[5m])` divided by that of `…_count` tells how "
                "long a reconcile takes, `process_cpu_seconds_total` whether the CPU is at its "
                "limit."
            ),
            "Does the API server answer slowly, or do many pods not answer at all?",
        ),
        ("Raise `operator.resources`; divide the cluster by `namespaces`.",),
    ),
    Alert(
        "FerrymanModelStalled",
        _condition("Stalled", "true"),
        "5m",
        "warning",
        f"{_OBJECT} waits for a person.",
        "The model or pipeline is not as specified, and stays so until somebody acts.",
        "What served before keeps serving, unless the message says otherwise; a new one does not "
        "serve.",
        (
            (
                "`kubectl describe imodel NAME` (or `ipipeline`): the condition `Stalled` has "
                "reason and message."
            ),
            "`ferryman explain NAME` has every node type's own reason.",
        ),
        ("[reasons.md](../reference/reasons.md) says what to do about each reason.",),
    ),
    Alert(
        "FerrymanModelNotReady",
        _condition("Ready", "false"),
        "20m",
        "warning",
        f"{_OBJECT} has not been ready for 20 minutes.",
        "Not all replicas serve what is specified.",
        "With `ferryman_model_ready_replicas` at 0 nothing answers clients; otherwise fewer "
        "replicas do.",
        (
            "`kubectl get imodel NAME -o wide`, then the message of its condition `Ready`.",
            "`kubectl get pods -l serving.ferryman.dev/model=NAME` and their events.",
        ),
        ("[reasons.md](../reference/reasons.md) says what to do about each reason.",),
    ),
    Alert(
        "FerrymanObjectivesMissed",
        _condition("ObjectivesMet", "false"),
        "15m",
        "warning",
        f"{_OBJECT} has missed its objectives for 15 minutes.",
        "Latency is above its target, or throughput below.",
        "Clients wait for longer than was promised to them.",
        (
            (
                "The dashboard *Ferryman / one model*: does load rise, or does the same load take "
                "longer?"
            ),
            "`ferryman explain NAME`: is a change under way, or is it at a limit?",
            "`ferryman history NAME`: were changes taken back?",
        ),
        (
            (
                "Raise `spec.replicas`, or have an autoscaler follow "
                "`ferryman_model_desired_replicas`."
            ),
            "Widen `spec.batching.limits` where the reason is `AtLimit`.",
            "Allow a faster class of processors, or relax the objectives.",
        ),
    ),
    Alert(
        "FerrymanNeedsCapacity",
        _condition("NeedsCapacity", "true"),
        "10m",
        "warning",
        f"{_OBJECT} needs more replicas than it is to have.",
        "No batching of the replicas that are asked for meets the objectives.",
        "The objectives are missed until there are more, or the load falls.",
        (
            (
                "`ferryman_model_desired_replicas` is how many would do; the condition's message "
                "says where none would."
            ),
        ),
        (
            "Raise `spec.replicas`; an autoscaler does so by itself (installation.md).",
            "Where pods find no node: add one, or let `ferryman place` say which.",
        ),
    ),
    Alert(
        "FerrymanRequestsRejected",
        "ferryman_model_rejected_requests > 0",
        "10m",
        "warning",
        f"Requests to {_MODEL} are rejected.",
        "With `onOverload: Reject` requests that waited too long are refused, so that the others "
        "are in time.",
        "Clients get errors.",
        ("The dashboard *Ferryman / one model*: offered load beside what is served.",),
        ("As for FerrymanNeedsCapacity.",),
    ),
    Alert(
        "FerrymanChangesFail",
        'sum(increase(ferryman_batching_changes_total{outcome!="Applied"}[1h])) > 5',
        "5m",
        "info",
        "{{ $value | humanize }} changes of batching failed within an hour.",
        "Triton refuses configurations, or what was changed had to be taken back.",
        "None by itself: what was in force before is in force again.",
        (
            "`ferryman history NAME` of the models that changed has each with Triton's words.",
            "`sum by (outcome) (increase(ferryman_batching_changes_total[1h]))`",
        ),
        (
            "A refusal names the field of `spec.model.config` that does not go with it.",
            "`spec.batching.mode: Recommend` keeps a model from being changed meanwhile.",
        ),
    ),
    Alert(
        "FerrymanAgentSilent",
        "time() - ferryman_node_heartbeat_timestamp_seconds > 180",
        "5m",
        "warning",
        "The agent on {{ $labels.node }} has not reported for {{ $value | humanizeDuration }}.",
        "The NodeProfile is stale: what the node has and does is unknown.",
        "No model is placed there; those that are there stay.",
        (
            "`kubectl get pods -n ferryman-system -l app.kubernetes.io/component=agent -o wide`",
            "Is the node ready? Is its clock right?",
        ),
        (
            "Mend the node, or remove it from the cluster: its profile goes with it.",
            "An agent that was evicted: raise `agent.priorityClassName`.",
        ),
    ),
    Alert(
        "FerrymanObjectsUnread",
        "ferryman_unread_objects > 0",
        "10m",
        "warning",
        "{{ $value }} {{ $labels.kind }} are not read.",
        "Objects are too large or too deep, so that the operator does not read them.",
        "They are neither served anew nor changed.",
        ("The operator's log names them; their condition `Ready` says `InvalidSpec`.",),
        ("Shorten `spec.model.config`, labels or annotations of the object.",),
    ),
    Alert(
        "FerrymanKnownVulnerabilities",
        _condition("KnownVulnerabilities", "true"),
        "1h",
        "info",
        f"Vulnerabilities are published of the Triton that serves {_OBJECT}.",
        "The runtime's image has a tritonserver with published advisories.",
        "The condition's message says what an attacker may do.",
        ("`kubectl describe imodel NAME`",),
        ("Name a newer image in the InferenceRuntime, and test it first.",),
    ),
)
