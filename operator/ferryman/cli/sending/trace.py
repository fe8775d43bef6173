"""``ferryman trace``: where the time of one request through a pipeline goes, step by step."""

import argparse
import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from ferryman.api.conditions import ConditionType
from ferryman.api.names import CONTROL_KEY_NAME, PORT_GRPC
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.cli import arguments
from ferryman.cli.errors import Fault, InputError, InterruptedFault
from ferryman.cli.files import content
from ferryman.cli.sending import requests as sent
from ferryman.cli.tables import Column, Listing
from ferryman.cli.terminal import console
from ferryman.cli.tuning.options import KEY_ENV
from ferryman.clients import triton
from ferryman.clients.load import generator as load
from ferryman.clients.load import target as load_target
from ferryman.clients.load.generator import TargetUnavailable
from ferryman.clients.load.target import TargetRefused
from ferryman.clients.load.trace import After, NoPipeline, NotAnswered, Tracer
from ferryman.clients.load.transports import GRPC_SCHEME
from ferryman.clients.load_inputs import InputInvalid
from ferryman.clients.triton import TritonUnavailable
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.reporting.waterfall import (
    NotCountedError,
    StepSpan,
    Waterfall,
    waterfall,
)

DESCRIPTION = """\
Send one request through a pipeline and show where its time went: of each step when it began, how
long the request waited for it, and how long it was computed.

With --url any ensemble on any Triton is asked; otherwise the InferencePipeline of the cluster that
kubectl would ask, through its Service. Times are those that the server counted; steps begin when
what they read is there. While others send requests, too, the mean of all that were answered is
shown, and said to be that.
"""
EPILOG = """\
examples:
  ferryman trace ocr -n demo --shape page=128,256,3       from inside the cluster
  ferryman trace ocr --url grpc://localhost:8001 --input page=PAGE.npy
  ferryman trace ocr --url grpc://localhost:8001 --shape page=128,256,3 -o json
"""
STATUSES: Final = {1: "the pipeline does not serve, or does not answer"}
#: How many characters the longest bar has.
BAR_CHARACTERS: Final = 32
QUEUE, COMPUTE = "░", "█"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("pipeline", metavar="PIPELINE", help="an InferencePipeline, or any ensemble")
    add("--url", metavar="URL", help="grpc://127.0.0.1:8001, for example")
    add("-n", "--namespace", metavar="NS", help="default: that of the kubeconfig's context")
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    sent.add_arguments(parser)
    add("--seed", type=arguments.whole(0), default=0, metavar="N", help="of drawn inputs")
    add(
        "--deadline-ms",
        type=arguments.number(above=0),
        default=30_000.0,
        metavar="MS",
        help="for the answer (default: 30000)",
    )
    add(
        "--control-key-file",
        type=Path,
        metavar="FILE",
        help=f"with --url: holds the key of restricted protocols (or set {KEY_ENV})",
    )
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Trace one request. Raises Fault where that cannot be had."""
    sent.check(args)
    after = None if args.url else _from_cluster(args)
    try:
        found = asyncio.run(_trace(args, after))
    except (TargetUnavailable, TritonUnavailable, NoPipeline) as error:
        raise Fault(f"{args.pipeline} does not serve: {error}") from error
    except (NotAnswered, NotCountedError) as error:
        raise Fault(f"{args.pipeline} was not traced: {error}") from error
    except (TargetRefused, InputInvalid, ValueError) as error:
        raise InputError(str(error)) from error
    except KeyboardInterrupt as error:
        raise InterruptedFault("interrupted: nothing is left behind") from error
    if args.output == "json":
        print(json.dumps(as_json(args.pipeline, found), indent=2, ensure_ascii=False))
    else:
        show(args.pipeline, found, console())
    return 0


async def _trace(args: argparse.Namespace, after: After | None) -> Waterfall:
    url = load_target.check(args.url)
    if not url.startswith(GRPC_SCHEME):
        raise InputError(f"--url {url}: traced is over gRPC, for example grpc://127.0.0.1:8001")
    request = sent.requests(await load.signature_of(url, args.pipeline), args)[0]
    key = content.text(args.control_key_file).strip() if args.control_key_file else ""
    metadata = triton.control_metadata(key or os.environ.get(KEY_ENV, ""), CONTROL_KEY_NAME)
    tracer = Tracer(url, args.pipeline, metadata=metadata)
    try:
        steps = await tracer.steps() if after is None else after
        counts = await tracer.ask(request, steps, args.deadline_ms / 1e3)
    finally:
        await tracer.close()
    return waterfall(steps, counts.whole, counts.steps)


def _from_cluster(args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Return the steps of a pipeline that serves, and set its address. Raises Fault."""
    # Imported here: the Kubernetes client takes a second.
    from ferryman.cli.gather import gather_pipeline  # noqa: PLC0415

    pipeline = gather_pipeline(args.namespace, args.pipeline, args.context).pipeline
    check_serves(pipeline)
    graph, key = Graph.of(pipeline.spec), pipeline.key
    host = f"{key.name}-pipeline.{key.namespace}.svc"
    args.url = f"{GRPC_SCHEME}{host}:{PORT_GRPC}"
    try:
        load_target.check(args.url)
    except TargetRefused as error:
        raise Fault(
            f"{host} cannot be reached from here: run this inside the cluster, or `kubectl "
            f"port-forward -n {key.namespace} service/{key.name}-pipeline {PORT_GRPC}` and "
            f"--url {GRPC_SCHEME}127.0.0.1:{PORT_GRPC}"
        ) from error
    return {name: graph.after[name] for name in graph.order}


def check_serves(pipeline: InferencePipeline) -> None:
    """Raise Fault with the words of its condition for a pipeline that is not Ready."""
    ready = next(
        (each for each in pipeline.status.conditions if each.type == ConditionType.READY), None
    )
    if ready is not None and ready.status == "True":
        return
    why = "the operator has said nothing of it yet"
    if ready is not None:
        why = f"{ready.reason}: {ready.message}"
    raise Fault(f"{pipeline.key.qualified_name} does not serve: {why}")


def as_json(name: str, found: Waterfall) -> dict[str, Any]:
    """Return the waterfall as JSON values."""
    return {
        "pipeline": name,
        "requests": found.requests,
        "totalMilliseconds": round(found.total_ms, 3),
        "betweenStepsMilliseconds": round(found.between_ms, 3),
        "critical": list(found.critical),
        "steps": [_step_json(span) for span in found.spans],
    }


def _step_json(span: StepSpan) -> Mapping[str, Any]:
    return {
        "name": span.step,
        "beginsMilliseconds": round(span.begins_ms, 3),
        "queueMilliseconds": round(span.queue_ms, 3),
        "inputMilliseconds": round(span.input_ms, 3),
        "computeMilliseconds": round(span.compute_ms, 3),
        "outputMilliseconds": round(span.output_ms, 3),
        "totalMilliseconds": round(span.total_ms, 3),
    }


def show(name: str, found: Waterfall, screen: Console) -> None:
    """Print the waterfall as a table with bars."""
    figures = ("BEGINS", "QUEUE", "COMPUTE", "TOTAL")
    columns = (*map(Column, ("", "STEP")), *(Column(each, right=True) for each in figures))
    title = f"{name}: one request of {found.total_ms:.1f} ms (times in ms; → is waited for)"
    table = Listing((*columns, Column(f"{QUEUE} QUEUE {COMPUTE} COMPUTE")), title=title)
    longest_ms = max(found.total_ms, *(span.ends_ms for span in found.spans))
    for span in found.spans:
        computed_ms = span.total_ms - span.queue_ms
        cells = (span.begins_ms, span.queue_ms, computed_ms, span.total_ms)
        mark = "→" if span.step in found.critical else ""
        table.add(mark, span.step, *(f"{ms:.1f}" for ms in cells), bar(span, longest_ms))
    screen.print(table)
    said = f"{found.between_ms:.1f} ms are between the steps and around them."
    if found.requests > 1:
        said += f" Others sent requests meanwhile: all figures are means of {found.requests}."
    screen.print(said, markup=False, soft_wrap=True)


def bar(span: StepSpan, longest_ms: float) -> str:
    """Return a step's bar, where it stands in the request."""

    def at(ms: float) -> int:
        return round(BAR_CHARACTERS * ms / longest_ms)

    begins, computes = at(span.begins_ms), at(span.begins_ms + span.queue_ms)
    ends = max(at(span.ends_ms), computes + (computes == begins))
    return "·" * begins + QUEUE * (computes - begins) + COMPUTE * (ends - computes)
