"""Make a variant, and measure its accuracy and its speed beside the original's."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferryman.agent import topology
from ferryman.cli import arguments
from ferryman.cli.errors import DONE, FAILED, Fault, InputError
from ferryman.cli.onnx import compress_view, model_files
from ferryman.cli.onnx.compress_view import CompressReport
from ferryman.cli.onnx.samples import Samples
from ferryman.clients import inference
from ferryman.clients.inference import Signature
from ferryman.clients.onnx import compression, graph, runtime
from ferryman.clients.onnx.compression import CannotCompress
from ferryman.clients.onnx.graph import ModelUnreadable, Source
from ferryman.clients.onnx.runtime import ModelRefused, Program
from ferryman.core.compression import speed
from ferryman.core.compression.accuracy import Metric, accuracy

Array = NDArray[Any]


def run(args: argparse.Namespace) -> int:
    """Compress the model that the arguments name."""
    kind = "int8" if args.int8 else "float16" if args.float16 else "pruned"
    source = model_files.read(args.model)
    target = args.output or args.model.with_name(f"{args.model.stem}-{kind}.onnx")
    try:
        with model_files.making(target) as folder:
            report = _compress(kind, source, target, folder, args)
    except ModelUnreadable as error:
        raise InputError(f"{args.model} cannot be read: {error}") from error
    except (CannotCompress, ModelRefused) as error:
        raise Fault(f"{args.model}: {error}") from error
    compress_view.show(report, as_json=args.json)
    return DONE if args.floor is None or report.accuracy >= args.floor else FAILED


def _compress(
    kind: str, source: Source, target: Path, folder: Path, args: argparse.Namespace
) -> CompressReport:
    original = Program(args.model, threads=args.threads)
    samples = Samples(original.signature, args.check, args.batch_size)
    check = _Check.of(original, samples, args)
    made = folder / "made" / target.name
    made.parent.mkdir()
    _make(source, original, made, folder, args)
    variant = Program(made, threads=args.threads)
    share = check.accuracy(variant, samples)
    feed = samples.some(args.batch_size)
    times_ms = runtime.interleaved(
        [partial(original.run, feed), partial(variant.run, feed)], args.rounds
    )
    report = CompressReport(
        model=args.model,
        variant=target,
        kind=kind,
        metric=check.metric,
        rows=samples.described,
        compared=tuple(check.expected),
        original_accuracy=check.original,
        accuracy=share,
        floor=args.floor,
        original_bytes=sum(file.stat().st_size for file in graph.files(source)),
        variant_bytes=sum(file.stat().st_size for file in made.parent.iterdir()),
        speed=speed.compare(*times_ms),
        batch_size=args.batch_size,
        threads=args.threads,
        instruction_sets=topology.read(Path("/proc"), Path("/sys"), {}).cpu.instruction_sets,
    )
    for file in made.parent.iterdir():
        model_files.keep(file, target.with_name(file.name))
    return report


def _make(
    source: Source, original: Program, made: Path, folder: Path, args: argparse.Namespace
) -> None:
    """Write the variant that the arguments ask for."""
    model = graph.observed(source, ())
    if args.float16:
        compression.to_float16(model, made)
    elif args.int8:
        compression.to_int8(
            model,
            made,
            Samples(original.signature, args.calibrate, args.batch_size).all(),
            folder,
            calibration=args.calibration or "minmax",
            reduced_range=args.reduce_range,
        )
    else:
        compression.prune(model, made, args.prune)


@dataclass(frozen=True)
class _Check:
    """What a variant's answers are held against."""

    metric: Metric
    labels: Array | None
    expected: Mapping[str, Array]
    """The original's answers to all rows, by output."""
    original: float
    """Its own accuracy."""

    @classmethod
    def of(cls, original: Program, samples: Samples, args: argparse.Namespace) -> "_Check":
        """Ask the original. Raises InputError where the metric does not suit it."""
        metric = Metric(args.metric)
        if metric is Metric.LABELS and samples.labels is None:
            raise InputError(f"--metric labels: {args.check} holds no array `labels`")
        names = _compared(metric, original.signature, args.answer)
        expected = _answers(original, samples, names)
        labels = samples.labels if metric is Metric.LABELS else None
        return cls(metric, labels, expected, _share(metric, expected, expected, labels))

    def accuracy(self, variant: Program, samples: Samples) -> float:
        """Return the accuracy of a variant on the same rows. Raises InputError."""
        found = _answers(variant, samples, self.expected)
        return _share(self.metric, self.expected, found, self.labels)


def _share(
    metric: Metric, expected: Mapping[str, Array], found: Mapping[str, Array], labels: Array | None
) -> float:
    try:
        return accuracy(metric, expected, found, labels)
    except ValueError as error:
        raise InputError(f"--metric {metric}: {error}") from error


def _compared(metric: Metric, signature: Signature, answer: str | None) -> list[str]:
    """Return the outputs that a metric compares. Raises InputError."""
    known = [output.name for output in signature.outputs]
    if answer is not None:
        if answer not in known:
            raise InputError(f"--answer: {arguments.refusal(answer, known)}")
        return [answer]
    if metric in {Metric.LABELS, Metric.TOP1}:
        try:
            return [inference.label_output(signature)]
        except ValueError as error:
            raise InputError(f"--metric {metric}: {error}") from error
    real = [output.name for output in signature.outputs if output.is_real]
    if not real:
        raise InputError(f"--metric {metric}: the model answers no real numbers")
    return real


def _answers(program: Program, samples: Samples, names: Iterable[str]) -> dict[str, Array]:
    """Return the answers to all rows, one below the other."""
    runs = [program.run(feed) for feed in samples.all()]
    try:
        return {name: _joined([run[name] for run in runs], samples) for name in names}
    except ValueError as error:
        said = "its shape is not the same for all rows: choose another with --answer"
        raise InputError(f"an output cannot be compared, {said}") from error


def _joined(answers: list[Array], samples: Samples) -> Array:
    """Return answers with rows along the first axis: of a model without batches a run is one."""
    return np.concatenate(answers) if samples.any_rows else np.stack(answers)
