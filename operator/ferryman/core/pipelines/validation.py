"""What is wrong with a pipeline beyond what the API server can see of its specification.

Faults that would have others follow are told alone: first those of names and wires, then cycles,
then what is not used and what does not fit. A tensor of which too little is known is no fault.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.wires import Source
from ferryman.core.pipelines import fitting, signatures
from ferryman.core.pipelines.fault import PipelineFault, advice
from ferryman.core.pipelines.graph import Graph, Reader, listed
from ferryman.core.pipelines.signatures import Signature


def faults(
    pipeline: InferencePipeline,
    known: Mapping[str, Signature],
    models: Collection[str] | None = None,
) -> tuple[PipelineFault, ...]:
    """Return what is wrong with a pipeline, by what is known of each step's model.

    ``models`` are the InferenceModels of the namespace; None: they are not known yet.
    """
    graph = Graph.of(pipeline.spec)
    stages = (
        lambda: (
            *_names(pipeline, graph),
            *_wires(graph),
            *_models(pipeline, models),
        ),
        lambda: _cycle(graph),
        lambda: (
            *_unused(graph),
            *_tensors(graph, known),
            *fitting.misfits(
                graph,
                known,
                signatures.of_inputs(pipeline.spec),
                signatures.of_outputs(pipeline.spec),
            ),
        ),
    )
    return next((found for stage in stages if (found := tuple(stage()))), ())


def _names(pipeline: InferencePipeline, graph: Graph) -> Iterator[PipelineFault]:
    for name, count in Counter(graph.names).items():
        if count > 1:
            yield PipelineFault(
                Reason.NAME_CLASH,
                f"{count} steps are named {name}, and each is a model of one server: rename all "
                "but one, and what reads them",
                name,
            )
        if name == pipeline.triton_name:
            yield PipelineFault(
                Reason.NAME_CLASH,
                f"step {name} is named like the pipeline, and both are models of one server, so "
                "that its tensors could be those of either: rename the step",
                name,
            )
    for name in graph.outputs:
        if name in graph.inputs:
            yield PipelineFault(
                Reason.NAME_CLASH,
                f"output {name} is named like an input of the pipeline, and in Triton that is one "
                "tensor: rename the output or the input",
                tensor=name,
            )


def _wires(graph: Graph) -> Iterator[PipelineFault]:
    for reader, source in graph.wires():
        if source.step is None and source.tensor not in graph.inputs:
            yield _unknown_input(graph, reader, source)
        elif source.step is not None and source.step not in graph.names:
            yield PipelineFault(
                Reason.UNKNOWN_STEP,
                f"{reader} reads {source}, but there is no step {source.step}: "
                f"{advice(source.step, graph.names, 'the steps are')}",
                *reader,
            )
    for source, readers in graph.readers.items():
        outputs = [reader.tensor for reader in readers if reader.step is None]
        if len(outputs) > 1:
            yield PipelineFault(
                Reason.READ_TWICE,
                f"outputs {listed(outputs)} of the pipeline are both {source}, and in Triton a "
                f"tensor of step {source.step} has one name: remove all but {outputs[0]}",
                tensor=outputs[1],
            )


def _unknown_input(graph: Graph, reader: Reader, source: Source) -> PipelineFault:
    is_step = source.tensor in graph.names
    remedy = (
        f"{source.tensor} is a step: write {source.tensor}.TENSOR with the name of one of its "
        "outputs"
        if is_step
        else "write STEP.TENSOR to read a step; as to inputs, "
        f"{advice(source.tensor, graph.inputs, 'there are')}"
    )
    return PipelineFault(
        Reason.UNKNOWN_INPUT,
        f"{reader} reads {source.tensor}, but the pipeline has no such input: {remedy}",
        *reader,
    )


def _models(pipeline: InferencePipeline, models: Collection[str] | None) -> Iterator[PipelineFault]:
    for step in pipeline.spec.steps:
        if step.model is None and step.model_ref is None:
            yield PipelineFault(
                Reason.MODEL_NOT_FOUND, f"step {step.name} has no model: state model", step.name
            )
    if models is None:
        return
    for step in pipeline.spec.steps:
        if step.model_ref is not None and step.model_ref.name not in models:
            name = step.model_ref.name
            there = f"; {advice(name, models, 'there are')}" if models else ""
            yield PipelineFault(
                Reason.MODEL_NOT_FOUND,
                f"step {step.name} takes its model from InferenceModel {name}, which is not in "
                f"this namespace: create it, correct modelRef.name, or state model{there}",
                step.name,
            )


def _cycle(graph: Graph) -> Iterator[PipelineFault]:
    if not graph.cycle:
        return
    first, last = graph.cycle[0], graph.cycle[-1]
    step = next(step for step in graph.steps if step.name == first)
    tensor = next(key for key, source in step.reads.items() if source.step == last)
    way = " → ".join((*graph.cycle, first))
    yield PipelineFault(
        Reason.CYCLE,
        f"step {first} waits for itself ({way}): have its input {tensor} read something else than "
        f"{step.reads[tensor]}",
        first,
        tensor,
    )


def _unused(graph: Graph) -> Iterator[PipelineFault]:
    for name in graph.names:
        if not graph.is_read(name):
            yield PipelineFault(
                Reason.UNUSED_STEP,
                f"nothing reads an output of step {name}: have a step's inputMap or an output of "
                f"the pipeline read {name}.TENSOR, or remove the step",
                name,
            )
    for name in graph.inputs:
        if Source(None, name) not in graph.readers:
            yield PipelineFault(
                Reason.UNUSED_INPUT,
                f"no step reads input {name} of the pipeline: have a step's inputMap read {name}, "
                "or remove the input",
                tensor=name,
            )


def _tensors(graph: Graph, known: Mapping[str, Signature]) -> Iterator[PipelineFault]:
    for step in graph.steps:
        signature = known.get(step.name, signatures.UNKNOWN)
        if signature.decoupled:
            yield PipelineFault(
                Reason.DECOUPLED,
                f"the model of step {step.name} is decoupled: it may answer a request several "
                "times, or never, and a pipeline answers each once; serve it without "
                "model_transaction_policy.decoupled, or outside of the pipeline",
                step.name,
            )
        yield from _inputs(step.name, step.reads, signature)
    for reader, source in graph.wires():
        maker = known.get(source.step or "", signatures.UNKNOWN)
        if maker.outputs is not None and source.tensor not in maker.outputs:
            yield PipelineFault(
                Reason.UNKNOWN_TENSOR,
                f"{reader} reads {source}, but the model of step {source.step} has no output "
                f"{source.tensor}: {advice(source.tensor, maker.outputs, 'its outputs are')}",
                *reader,
            )


def _inputs(
    step: str, reads: Mapping[str, Source], signature: Signature
) -> Iterator[PipelineFault]:
    if signature.inputs is None:
        return
    for tensor in reads:
        if tensor not in signature.inputs:
            yield PipelineFault(
                Reason.UNKNOWN_TENSOR,
                f"step {step} states an input {tensor}, which its model does not have: "
                f"{advice(tensor, signature.inputs, 'its inputs are')}",
                step,
                tensor,
            )
    for tensor, each in signature.inputs.items():
        if tensor not in reads and not each.optional:
            yield PipelineFault(
                Reason.MISSING_INPUT,
                f"nothing feeds input {tensor} of step {step}, and its model needs it: add "
                f"{tensor} to the step's inputMap",
                step,
                tensor,
            )
