"""The ensemble of a pipeline: what its server is told of how the steps read each other."""

from collections.abc import Mapping

from ferryman.api.conditions import Reason
from ferryman.api.model_source import TritonConfig
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.wires import Source
from ferryman.core.pipelines import signatures
from ferryman.core.pipelines.fault import PipelineFault
from ferryman.core.pipelines.fitting import given_by
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.signatures import Signature
from ferryman.core.triton.ensemble import EnsembleMember, EnsembleTensor, ensemble_config


def ensemble_of(
    pipeline: InferencePipeline, known: Mapping[str, Signature]
) -> TritonConfig | tuple[PipelineFault, ...]:
    """Return the ensemble's configuration, or which of its outputs too little is known of.

    The pipeline must be without faults; ``known`` is what is known of each step's model.
    """
    graph = Graph.of(pipeline.spec)
    inputs = signatures.of_inputs(pipeline.spec)
    outputs, missing = {}, []
    for name, stated in signatures.of_outputs(pipeline.spec).items():
        whole = signatures.filled(stated, given_by(graph.outputs[name], known, inputs))
        if whole.datatype is None or whole.shape is None:
            missing.append(_unknown(name, graph.outputs[name]))
        else:
            tensor = EnsembleTensor(name, whole.datatype, whole.shape)
            outputs[tensor] = graph.outputs[name]
    return tuple(missing) or ensemble_config(
        pipeline.triton_name,
        [EnsembleTensor(entry.name, entry.datatype, entry.shape) for entry in pipeline.spec.inputs],
        [EnsembleMember(step.name, step.reads) for step in graph.steps],
        outputs,
    )


def _unknown(output: str, source: Source) -> PipelineFault:
    return PipelineFault(
        Reason.TYPE_UNKNOWN,
        f"it is not known what output {output} of the pipeline is, which Triton must be told: "
        f"state datatype and shape of the output, or output {source.tensor} in model.config of "
        f"step {source.step}",
        tensor=output,
    )
