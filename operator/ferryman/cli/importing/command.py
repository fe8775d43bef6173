"""``ferryman import``: what people have, as Ferryman's manifests."""

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ferryman.api.crd import DNS_LABEL
from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.cli import arguments, output
from ferryman.cli.errors import DONE, FAILED, InputError
from ferryman.cli.files import content
from ferryman.cli.importing import sources, view
from ferryman.cli.tuning.options import PERCENTILES
from ferryman.core.importing import analyzer
from ferryman.core.importing.kserve import documents
from ferryman.core.importing.outcome import Imported, LeftOut, NotImportableError, Request
from ferryman.core.importing.triton import formats, repository

#: With --strict: everything was imported, but not all of it.
LEFT_OUT: Final = 6

DESCRIPTION = """\
Print Ferryman's manifests of what there is: KServe's InferenceServices (YAML or JSON), a Triton
model repository (its folder, or one config.pbtxt), or Model Analyzer's table
(metrics-model-inference.csv). Nothing is applied.

What has no place in the manifests is said on standard error, a line for each field with what to do
instead. Nothing is made up: what is to be met no source says, so --latency-ms, --min-per-second or
both do.
"""
EPILOG = """\
examples:
  ferryman import services.yaml --latency-ms 50 > models.yaml
  kubectl get isvc -A -o json | ferryman import - --latency-ms 50
  ferryman import /srv/models --storage-uri pvc://models --latency-ms 50
  ferryman import metrics.csv --format onnx --storage-uri s3://m --latency-ms 50
"""
STATUSES: Final = {
    FAILED: "some of it cannot be imported: it is said why, the rest is printed",
    LEFT_OUT: "--strict: all was imported, and fields of it were left out",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("source", type=Path, metavar="FILE|FOLDER", help="what there is; - is standard input")
    add(
        "--storage-uri",
        type=arguments.storage_prefix,
        metavar="PREFIX",
        help="below which the cluster finds each model's folder, for example pvc://models or "
        "s3://BUCKET/repository",
    )
    add("--latency-ms", type=arguments.whole(1, 600_000), metavar="MS", help="latency target")
    add(
        "--percentile",
        **arguments.one_of([str(each) for each in PERCENTILES]),
        help="which percentile is held against it (default: 99)",
    )
    add(
        "--min-per-second",
        type=arguments.whole(1, 10_000_000),
        metavar="N",
        help="inferences per second that must be had",
    )
    add(
        "--runtime",
        type=_runtime,
        default="triton",
        metavar="NAME",
        help="the InferenceRuntime that serves (default: triton)",
    )
    add("--model", metavar="NAME", help="the one model of the source that is meant")
    add(
        "--format",
        **arguments.one_of(formats.FORMATS),
        metavar="FORMAT",
        help=f"of models whose source does not say it: {', '.join(formats.FORMATS)}",
    )
    add("-o", "--output", **arguments.one_of(output.DATA), default="yaml", help="default: yaml")
    add("--strict", action="store_true", help=f"end with {LEFT_OUT} where a field is left out")


def run(args: argparse.Namespace) -> int:
    """Print what can be imported, and say what cannot. Raises InputError."""
    asked = _asked(args)
    try:
        found = _imported(args.source, asked)
    except NotImportableError as error:
        raise InputError(f"{content.name(args.source)}: {error}") from error
    manifests = [each.manifest for each in found if each.manifest is not None]
    if manifests:
        output.documents(args.output, manifests)
    view.tell(found)
    if any(each.refusal for each in found):
        return FAILED
    return LEFT_OUT if args.strict and any(each.left_out for each in found) else DONE


def _imported(source: Path, asked: Request) -> Sequence[Imported]:
    """Return what comes of a source, by what it is. Raises InputError, NotImportableError."""
    if source.is_dir():
        models, others = sources.repository(source)
        return (*repository.imported(models, asked), *map(_no_model, others))
    if source.suffix == sources.CONFIGURATION:
        one = sources.configuration(source, asked.model)
        return repository.imported([one], replace(asked, model=None))
    if source.suffix == sources.TABLE:
        found = analyzer.imported(sources.measured(source), asked)
        return [replace(each, hints=(*each.hints, _tune(each, source, asked))) for each in found]
    return documents.imported(sources.documents(source), asked)


def _no_model(folder: LeftOut) -> Imported:
    return Imported(folder.path, left_out=(LeftOut("the folder", folder.advice),))


def _tune(each: Imported, table: Path, asked: Request) -> str:
    """Return what has ``ferryman tune`` begin with the times that were measured."""
    latency, throughput = asked.objectives.latency, asked.objectives.throughput
    words = [f"ferryman tune --url HOST --model {shlex.quote(each.name)}"]
    if latency is not None:
        words.append(f"--p{latency.percentile} {latency.target_milliseconds}ms")
    if throughput is not None:
        words.append(f"--min-throughput {throughput.min_per_second}")
    words.append(f"--import-model-analyzer {shlex.quote(str(table))}")
    return f"to tune a running server with these times: {' '.join(words)}"


def _asked(args: argparse.Namespace) -> Request:
    if args.latency_ms is None and args.min_per_second is None:
        raise InputError(
            "state what is to be met, which no source says: --latency-ms 50, --min-per-second 200, "
            "or both"
        )
    if args.latency_ms is None and args.percentile is not None:
        raise InputError("--percentile is of a latency: state --latency-ms beside it")
    latency = args.latency_ms and LatencyObjective(
        percentile=int(args.percentile or 99), target_milliseconds=args.latency_ms
    )
    throughput = args.min_per_second and ThroughputObjective(min_per_second=args.min_per_second)
    objectives = Objectives(latency=latency, throughput=throughput)
    return Request(objectives, args.runtime, args.storage_uri, args.model, args.format)


def _runtime(text: str) -> str:
    if not re.fullmatch(DNS_LABEL, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of an InferenceRuntime")
    return text
