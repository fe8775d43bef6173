# ruff: noqa: D102, ARG002, FBT003  the Protocols document the methods and name the arguments
"""Stand-ins for what lies outside: time, the API server, and Triton servers.

They keep to the Protocols of ``ferryman.clients`` and hold everything in memory.
"""

import asyncio
import copy
import selectors
from collections import Counter
from datetime import timedelta
from itertools import count

from tritonclient.grpc import service_pb2

from ferryman.api import names
from ferryman.api.batching import Batching
from ferryman.api.statistics import ServerModel
from ferryman.clients.kubernetes import ObjectReference
from ferryman.clients.kubernetes_errors import ConflictError, NotFoundError, NotOwnedError
from ferryman.clients.triton import TritonUnavailable
from ferryman.handlers.cache import SUBJECTS
from ferryman.handlers.watch import WATCHED
from tests.factories import NOW, statistics


class _TimelessSelector(selectors.DefaultSelector):
    """Waits for nothing: time is moved on instead."""

    def __init__(self):
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout=None):
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("everything waits and nothing will ever happen")
        if not events:
            self.now_s += max(0.0, timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing that is due."""

    def __init__(self):
        self._timeless = _TimelessSelector()
        super().__init__(self._timeless)

    def time(self):
        return self._timeless.now_s


def run_virtually(coroutine):
    """Run a coroutine on virtual time, which starts at 0, and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def seconds():
    """Return the running loop's clock."""
    return asyncio.get_running_loop().time()


def now():
    """Return NOW plus the running loop's seconds."""
    return NOW + timedelta(seconds=seconds())


_INDEX_OF_KIND = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "InferenceRuntime": "runtimes",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Service": "services",
}


class FakeKubernetes:
    """An API server with what it was told, and the indices that kopf would keep of it.

    ``delay_watch`` holds events back until ``catch_up`` is called; ``fail_next`` makes the next
    calls raise these errors in turn; ``refused`` maps kinds to the error that applying one raises.
    ``dead`` maps nodes to what their Lease showed last, or to the error that asking for it raises.
    ``statuses`` are those that were written of models, ``looked_for`` the kinds that were sought.
    """

    def __init__(self):
        self.objects = {}
        self.events = []
        self.jobs = {}
        self.pods = []
        self.writes = Counter()
        self.fail_next = []
        self.refused = {}
        self.looked_for = []
        self.statuses = []
        self.delay_watch = False
        self.dead = {}
        self.indices = {name: {} for name in WATCHED}
        self.on_event = lambda _index, _body, _deleted: None
        self._versions = count(100)
        self._late = []

    # The test's side

    def put(self, index, body):
        """Create or replace an object as another client would, and show it to the watches."""
        body = copy.deepcopy(body)
        metadata = body["metadata"]
        kind = (index, metadata.get("namespace", ""), metadata["name"])
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        metadata["resourceVersion"] = str(next(self._versions))
        self.objects[kind] = body
        self._show(index, body)
        return body

    def drop(self, index, name, namespace=""):
        """Delete an object and show it to the watches."""
        body = self.objects.pop((index, namespace, name))
        key = WATCHED[index].key(body)
        self.indices[index].pop(key, None)
        self.on_event(index, body, True)

    def catch_up(self):
        """Show the watches what was held back."""
        late, self._late = self._late, []
        for index, body in late:
            self._keep(index, body)

    def get(self, index, name, namespace="default"):
        """Return an object as it is stored."""
        return self.objects.get((index, namespace, name))

    def _show(self, index, body):
        if self.delay_watch:
            self._late.append((index, copy.deepcopy(body)))
        else:
            self._keep(index, body)

    def _keep(self, index, body):
        watched = WATCHED[index]
        key = watched.key(body)
        if key is not None:
            self.indices[index][key] = [watched.trim(copy.deepcopy(body))]
        self.on_event(index, body, False)

    def _written(self, verb, kind):
        if self.fail_next:
            error = self.fail_next.pop(0)
            if error is not None:
                raise error
        self.writes[verb, kind] += 1

    # The Protocol

    async def ping(self):
        self._maybe_fail()

    async def serves_kinds(self):
        return True

    def _maybe_fail(self):
        if self.fail_next:
            raise self.fail_next.pop(0)

    async def apply(self, manifest, *, field_manager=names.FIELD_MANAGER, force=True):
        if manifest["kind"] in self.refused:
            raise self.refused[manifest["kind"]]
        self._written("apply", manifest["kind"])
        index = _INDEX_OF_KIND.get(manifest["kind"])
        metadata = manifest["metadata"]
        kind = (index or manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        before = self.objects.get(kind)
        body = {**(before or {}), **copy.deepcopy(dict(manifest))}
        same = before is not None and all(
            before.get(k) == v for k, v in manifest.items() if k != "metadata"
        )
        old = (before or {}).get("metadata", {})
        body["metadata"] = {
            **body["metadata"],
            "uid": old.get("uid", f"uid-{metadata['name']}-{next(self._versions)}"),
            "generation": old.get("generation", 0) + (0 if same else 1),
            "resourceVersion": old["resourceVersion"] if same else str(next(self._versions)),
        }
        self.objects[kind] = body
        if index and not same:
            self._show(index, body)
        return copy.deepcopy(body)

    async def write_secret(self, manifest):
        metadata = manifest["metadata"]
        there = self.objects.get(("Secret", metadata["namespace"], metadata["name"]))
        owners = [{}] if there is None else there["metadata"].get("ownerReferences", [{}])
        if there is not None and owners[0].get("name") != metadata["ownerReferences"][0]["name"]:
            raise NotOwnedError("a step failed", status=422)
        return await self.apply(manifest)

    async def find(self, manifest):
        kind, metadata = manifest["kind"], manifest["metadata"]
        self.looked_for.append(kind)
        body = self.objects.get((_INDEX_OF_KIND[kind], metadata["namespace"], metadata["name"]))
        return None if body is None else {"metadata": copy.deepcopy(body["metadata"])}

    async def replica_set(self, namespace, name):
        owner = self.objects.get(("deployments", namespace, name.rpartition("-")[0]))
        uid = "" if owner is None else owner["metadata"]["uid"]
        references = [{"kind": "Deployment", "uid": uid, "controller": True}]
        return {"metadata": {"uid": f"uid-of-{name}", "ownerReferences": references}}

    async def apply_status(self, about: ObjectReference, status):
        self._written("apply", f"{about.kind}/status")
        index = SUBJECTS[about.kind]
        body = self.objects.get((index, about.namespace, about.name))
        if body is None:
            raise NotFoundError("not found", status=404)
        if body["metadata"]["uid"] != about.uid:
            raise ConflictError("uid mismatch", status=409)
        self.statuses.append(copy.deepcopy(dict(status)))
        return copy.deepcopy(self.put(index, {**body, "status": copy.deepcopy(dict(status))}))

    async def apply_benchmarks(self, profile, benchmarks, price_per_hour):
        self._written("apply", "NodeProfile/status")
        body = self.objects.get(("profiles", "", profile))
        if body is None:
            raise NotFoundError("not found", status=404)
        status = {**body.get("status", {}), "benchmarks": list(benchmarks)}
        status.pop("pricePerHour", None)
        status |= {} if price_per_hour is None else {"pricePerHour": price_per_hour}
        return copy.deepcopy(self.put("profiles", {**body, "status": status}))

    async def node_lease(self, name):
        renewed = self.dead.get(name, f"tick {seconds() // 10:.0f}")
        if isinstance(renewed, Exception):
            raise renewed
        return {"spec": {"renewTime": renewed, "leaseDurationSeconds": 40}}

    async def label_node(self, name, uid, labels):
        self._written("apply", "Node")
        body = self.objects.get(("nodes", "", name))
        if body is None or body["metadata"]["uid"] != uid:
            raise ConflictError("uid mismatch", status=409)
        before = body["metadata"].get("labels") or {}
        metadata = {**body["metadata"], "labels": {**before, **labels}}
        return copy.deepcopy(self.put("nodes", {**body, "metadata": metadata}))

    async def annotate_pod(self, namespace, name, annotations):
        self._written("patch", "Pod")
        body = self.objects.get(("pods", namespace, name))
        if body is None:
            raise NotFoundError("not found", status=404)
        before = body["metadata"].get("annotations") or {}
        metadata = {**body["metadata"], "annotations": {**before, **annotations}}
        return copy.deepcopy(self.put("pods", {**body, "metadata": metadata}))

    async def post_event(self, about, kind, reason, message):
        self._written("create", "Event")
        self.events.append((about.name, kind, str(reason), message))

    async def ensure_master_key(self, namespace):
        return b"m" * 32

    async def create_job(self, manifest):
        self._written("create", "Job")
        self.jobs.setdefault(manifest["metadata"]["name"], copy.deepcopy(manifest))

    async def list_jobs(self, namespace, selector):
        return list(self.jobs.values())

    async def delete_job(self, namespace, name):
        self._written("delete", "Job")
        self.jobs.pop(name, None)

    async def list_pods(self, namespace, selector):
        return list(self.pods)

    async def list_uids(self, group, version, plural, selector="", namespaces=()):
        self._maybe_fail()
        return {
            body["metadata"]["uid"]
            for (index, _, _), body in self.objects.items()
            if index in WATCHED and WATCHED[index].plural == plural
        }


class FakeTriton:
    """One Triton server that counts, and refuses or is silent on demand."""

    def __init__(self, batching=None):
        self.batching = batching or Batching(max_batch_size=8)
        self.ready = True
        self.largest = None
        self.batchable = True
        self.silent = False
        self.refusal = None
        self.loads = []
        self.configs = []
        self.requests = 0
        self.requests_per_s = 0.0
        self.rejected_per_s = 0.0
        self.rejected = 0.0
        self._counted_at_s = 0.0
        self.curve_ms = lambda size: 2.0 + size
        self.inferred = {}
        self.inference_refusal = None
        self.config = {"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]}]}
        self.closed = False

    async def model(self):
        self._answer()
        return ServerModel(
            ready=self.ready,
            batching=self.batching if self.ready else None,
            batchable=self.batchable,
            largest_batch_size=self.largest,
        )

    async def statistics(self):
        self._answer()
        self.rejected += self.rejected_per_s * (seconds() - self._counted_at_s)
        self._counted_at_s = seconds()
        served = int(self.requests_per_s * seconds()) + self.requests
        asked = sum(runs for runs, _ in self.inferred.values())
        batches = {1: (served, served * 3_000_000)} if served else {}
        for size, (runs, took_ns) in self.inferred.items():
            before = batches.get(size, (0, 0))
            batches[size] = before[0] + runs, before[1] + took_ns
        return statistics(
            seconds(), served + asked, rejected_count=int(self.rejected), batches=batches
        )

    async def configuration(self):
        self._answer()
        return self.config

    async def infer(self, request, *, within_s):
        self._answer()
        if self.inference_refusal is not None:
            raise self.inference_refusal
        size = service_pb2.ModelInferRequest.FromString(request).inputs[0].shape[0]
        took_s = self.curve_ms(size) / 1e3
        await asyncio.sleep(min(took_s, within_s))
        if took_s > within_s:
            raise TritonUnavailable("Deadline Exceeded")
        runs, took_ns = self.inferred.get(size, (0, 0))
        self.inferred[size] = runs + 1, took_ns + round(took_s * 1e9)

    async def call_s(self, payload_bytes):
        self._answer()
        return 0.001 + payload_bytes / 1e9

    async def apply_batching(self, batching, *, config_pbtxt=None):
        self._answer()
        if self.refusal is not None:
            raise self.refusal
        self.loads.append(batching)
        self.configs.append(config_pbtxt)
        self.batching = batching

    async def close(self):
        self.closed = True

    def _answer(self):
        if self.silent:
            raise TritonUnavailable("no answer")


class FakeTritons:
    """Triton servers by pod address; unknown addresses do not answer.

    ``holding`` has those that hold several models: address -> model -> its stand-in.
    """

    def __init__(self):
        self.servers = {}
        self.holding = {}
        self.connections = 0

    def at(self, ip, **fields):
        """Return the server at an address, made on first use."""
        return self.servers.setdefault(ip, FakeTriton(**fields))

    def connect(self, ip, model, control_key):
        self.connections += 1
        server = self.holding.get(ip, {}).get(model, self.servers.get(ip))
        if ip in self.holding and not model:
            return FakeTriton()  # whoever asks for no model asks what any server has
        if server is None:
            server = FakeTriton()
            server.silent = True
        return server


def wire(value):
    """Return an API type as the API server would send it."""
    body = value.as_dict()
    header = {"apiVersion": names.API_VERSION, "kind": type(value).__name__}
    return {**header, **body}


def node_object(name="node-1", *, ready=True, uid=None, **spec):
    """Return a Node with 4 cores and 8 GiB."""
    status = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": uid or f"uid-{name}"},
        "spec": spec,
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}, "conditions": [status]},
    }


_BOUND = {"name": names.VOLUME_LIVE_CAP, "downwardAPI": {"items": [{"path": "max-batch-size"}]}}


def pod_object(
    name="resnet50-triton-1",
    model="resnet50",
    *,
    namespace="default",
    node="node-1",
    ip="10.0.0.1",
    ready=True,
    requests=None,
    live_cap=False,
    **status,
):
    """Return a running Triton pod of a model; with a live cap it was made for one."""
    resources = {"requests": requests or {"cpu": "500m", "memory": "512Mi"}}
    labels = {names.LABEL_MODEL: model, names.LABEL_MANAGED_BY: names.MANAGED_BY}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [
                {
                    "kind": "ReplicaSet",
                    "name": f"{model}-triton-1",
                    "uid": f"uid-of-{model}-triton-1",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "triton", "resources": resources}],
            "volumes": [_BOUND] if live_cap else [],
        },
        "status": {
            "phase": "Running",
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            **status,
        },
    }
