"""The weights that a step runs with on its server's processor class, and what is said of it."""

from decimal import Decimal

from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.model_source import ModelSource
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import (
    RefusedVariantStatus,
    StepVariantStatus,
)
from ferryman.api.pipelines.step import PipelineStep, StepVariant
from ferryman.core.compression.variants import MeasuredVariant, VariantChoice, choose_variant


def chosen_for(
    pipeline: InferencePipeline, step: PipelineStep, source: ModelSource, entry: RuntimeProcessor
) -> tuple[ModelSource, VariantChoice | None]:
    """Return the source of what serves of a step, and why; no reason where it has no variants.

    ``source`` is that of the step's own model on the class of ``entry``.
    """
    if not step.variants:
        return source, None
    floor = pipeline.spec.accuracy_floor
    choice = choose_variant(
        step.name,
        entry.processor_class,
        [_measured(each, source, entry) for each in step.variants],
        None if floor is None else Decimal(floor),
    )
    taken = next((each for each in step.variants if each.name == choice.chosen), None)
    return (source if taken is None else _laid_over(source, taken)), choice


def as_status(choice: VariantChoice | None) -> StepVariantStatus | None:
    """Return what is reported of a choice."""
    if choice is None:
        return None
    refused = tuple(
        RefusedVariantStatus(name=each.name, reason=each.reason, message=each.message)
        for each in choice.verdicts
        if each.name != choice.chosen
    )
    return StepVariantStatus(
        name=choice.chosen, reason=choice.reason, message=choice.message, refused=refused
    )


def _measured(
    variant: StepVariant, source: ModelSource, entry: RuntimeProcessor
) -> MeasuredVariant:
    speeds = {each.processor: Decimal(each.speedup) for each in variant.speeds}
    return MeasuredVariant(
        variant.name,
        Decimal(variant.accuracy),
        speeds.get(entry.processor_class),
        is_served=_laid_over(source, variant).model_format.name in entry.backends,
    )


def _laid_over(source: ModelSource, variant: StepVariant) -> ModelSource:
    """Return a variant's files with the configuration of the step's model."""
    return source.with_(
        storage_uri=variant.storage_uri,
        fetch=variant.fetch or source.fetch_for(variant.storage_uri),
        model_format=variant.model_format or source.model_format,
        variants=(),
    )
