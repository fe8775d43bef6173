"""Split a model: choose cuts, write the parts, and compare their answers with the model's."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from ferryman.cli.errors import Fault, InputError
from ferryman.cli.files import content
from ferryman.cli.onnx import cutting, model_files, pipeline_file, split_view
from ferryman.cli.onnx.cutting import Subject
from ferryman.cli.onnx.probing import Probe
from ferryman.cli.onnx.samples import Feed, Samples
from ferryman.cli.onnx.split_view import PartFigures, SplitReport
from ferryman.clients.onnx import runtime
from ferryman.clients.onnx.graph import ModelUnreadable, Source
from ferryman.clients.onnx.runtime import ModelRefused, Program
from ferryman.core.splitting.answers import largest_difference
from ferryman.core.splitting.dataflow import CyclicError
from ferryman.core.splitting.segments import Segment

Array = NDArray[Any]
#: MB/s in bytes per millisecond.
_MB_PER_S: Final = 1e3


@dataclass(frozen=True)
class _Chain:
    """The parts, loaded, in their order."""

    programs: Sequence[Program]

    def run(self, feed: Feed) -> dict[str, Array]:
        """Return all tensors that the parts hand on or answer."""
        known = dict(feed)
        for program in self.programs:
            known |= program.run(known)
        return known


def run(args: argparse.Namespace) -> int:
    """Split the model that the arguments name; return 0."""
    source = model_files.read(args.model)
    target = args.output or args.model.with_name(f"{args.model.stem}-parts")
    try:
        with model_files.making(target) as folder:
            report = _split(source, target, folder, args)
    except (ModelUnreadable, CyclicError) as error:
        raise InputError(f"{args.model} cannot be read: {error}") from error
    except ModelRefused as error:
        advice = "" if args.check else " (--check FILE runs it on inputs of yours)"
        raise Fault(f"{args.model}: {error}{advice}") from error
    split_view.show(report, as_json=args.json)
    return 0


def _split(source: Source, target: Path, folder: Path, args: argparse.Namespace) -> SplitReport:
    whole = Program(source.path, threads=args.threads)
    samples = Samples(whole.signature, args.check, args.batch_size)
    subject = Subject(source, samples, folder, args.threads)
    places = cutting.places(subject, args.parts, args.tensors)
    division = cutting.choose(
        subject,
        places,
        args.parts,
        rounds=args.rounds,
        bytes_per_ms=None if args.bandwidth is None else args.bandwidth * _MB_PER_S,
    )
    segments = places.segments(division.ends)
    made = folder / "parts"
    files = [made / pipeline_file.step_name(i) / "1" / "model.onnx" for i in range(len(segments))]
    for part, file in zip(segments, files, strict=True):
        file.parent.mkdir(parents=True)
        subject.write(part, places.probe, file)
    chain = _Chain([Program(file, threads=args.threads) for file in files])
    difference = _difference(whole, chain, samples, args.tolerance)
    storage_uri = args.storage_uri or f"pvc://models/{target.name}"
    pipeline = pipeline_file.manifest(target.name, places.probe, segments, storage_uri)
    content.write(made / pipeline_file.NAME, pipeline)
    report = SplitReport(
        args.model,
        target,
        len(places.cuts),
        difference,
        samples.described,
        *_figures(places.probe, segments, whole, chain, args.rounds),
    )
    model_files.keep(made, target)
    return report


def _figures(
    probe: Probe, segments: Sequence[Segment], whole: Program, chain: _Chain, rounds: int
) -> tuple[float, tuple[PartFigures, ...]]:
    """Time the model and its parts in turns; return the model's least milliseconds, and theirs."""
    # The model is given all of its inputs, also those that nothing in it reads.
    known = chain.run({each.name: probe.values(each.name) for each in whole.inputs})
    programs = (whole, *chain.programs)
    taken_ms = runtime.interleaved([partial(program.run, known) for program in programs], rounds)
    # What else the machine does only adds to a time.
    whole_ms, *parts_ms = map(min, taken_ms)
    figures = (
        PartFigures(
            pipeline_file.step_name(index),
            len(part.operations),
            part_ms,
            {name: probe.tensors[name].size_bytes for name in part.received},
        )
        for index, (part, part_ms) in enumerate(zip(segments, parts_ms, strict=True))
    )
    return whole_ms, tuple(figures)


def _difference(whole: Program, chain: _Chain, samples: Samples, tolerance: float) -> float:
    """Return how far the parts' answers are from the model's at most. Raises Fault if too far."""
    difference = 0.0
    for feed in samples.all():
        difference = max(difference, largest_difference(whole.run(feed), chain.run(feed)))
    if difference > tolerance:
        raise Fault(
            f"the parts' answers differ from the model's by up to {difference:.2g}, and "
            f"{tolerance:g} is allowed: nothing is written (--tolerance allows more)"
        )
    return difference
