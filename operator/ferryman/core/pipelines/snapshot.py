"""What a decision about a pipeline sees: one frozen picture, gathered by the shell."""

from typing import Any

from pydantic import Field

from ferryman.api.base import ApiType
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.model_fetch import SourceStatus
from ferryman.api.pipelines.execution_status import CallStatus
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.snapshot import NodeView, PodView, ServingState


class LoadedStep(ApiType):
    """One step on the servers of its pipeline."""

    ready: bool | None = None
    """Triton's own word on it in the pods that answer; None when none answers."""
    message: str = ""
    """Why it is not ready."""
    shape_tensors: bool = False
    """Whether an input is a shape tensor, as far as Triton said."""
    configs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By what pods are made for: its configuration as a server completed it."""
    pods: tuple[PodView, ...] = ()
    """What each pod has in force of it."""
    source: SourceStatus | None = None
    """What the pods fetched of it; None where its files are mounted."""


class PipelineSnapshot(ApiType):
    """Everything that one decision about one pipeline may use."""

    pipeline: InferencePipeline
    runtime: InferenceRuntime | None = None
    models: dict[str, InferenceModel] = Field(default_factory=dict)
    """The InferenceModels of the namespace that its steps take their models from."""
    nodes: tuple[NodeView, ...] = ()
    serving: ServingState = ServingState()
    """Of the server as a whole; its ``model_ready`` and its pods' are the ensemble's."""
    steps: dict[str, LoadedStep] = Field(default_factory=dict)
    call: CallStatus | None = None
    """What a call between servers takes, as it was measured last; None: it was not."""
    ensemble_refusal: str = ""
    """Triton's words on the ensemble that it was told to load moments ago, where it refused."""
    refused_ensemble: str = ""
    """Which configuration that was."""
    placement_is_valid: bool = False
    """Nothing that bears on the placement has changed since nodes were compared: none are here."""
