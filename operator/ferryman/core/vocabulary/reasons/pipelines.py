"""What a pipeline's graph lacks, where its steps run, and why they are balanced as they are."""

from collections.abc import Mapping
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.vocabulary.reasons.explanation import Explanation

BALANCING: Final[Mapping[str, Explanation]] = {
    Reason.LIMITING_STEP: Explanation(
        "The step carries least of all, and more is asked: it gets instances."
    ),
    Reason.DEMAND_SERVED: Explanation("What is asked is served, with headroom."),
    Reason.NOT_LIMITING: Explanation("Another step carries less: more of this one brings nothing."),
    Reason.BALANCED: Explanation("A change brings, or brought, at least what was predicted."),
    Reason.SPARE_INSTANCES: Explanation("So many instances are not needed: some are taken back."),
    Reason.TAKEN_BACK: Explanation("What was added did not help, and was taken back."),
    Reason.TRIED_BEFORE: Explanation(
        "It was tried, did not help, and neither load nor steps have changed since."
    ),
    Reason.INSTANCE_LIMIT: Explanation(
        "The step has as many instances as its `limits` allow.",
        "Raise the limit, if memory and processors allow.",
    ),
    Reason.MEMORY_FULL: Explanation(
        "One more instance would not fit into the memory of the pod.",
        "Raise the memory in `spec.resources`, or use a smaller variant of the model.",
    ),
    Reason.MEMORY_UNKNOWN: Explanation(
        "Whether one more instance fits is unknown, so none is added.",
        "Wait until the step has served; the message says what is not known.",
    ),
    Reason.PROCESSORS_FULL: Explanation(
        "The processors are busy: one more instance would take from the other steps.",
        "Raise the CPU in `spec.resources`, or `spec.replicas`.",
    ),
    Reason.REJECTS_IN_TIME: Explanation(
        "Steps reject what has waited for longer than their part of the latency target lets it."
    ),
    Reason.BUDGET_SPLIT: Explanation(
        "The latency target is divided anew among the steps, by what each of them needs."
    ),
}

GRAPH: Final[Mapping[str, Explanation]] = {
    Reason.CYCLE: Explanation(
        "A step waits for itself.", "Take one of the wires out that the message names."
    ),
    Reason.UNKNOWN_STEP: Explanation(
        "A wire reads a step that is not there.", "Correct the name, or add the step."
    ),
    Reason.UNKNOWN_TENSOR: Explanation(
        "A model has no such input or output.", "The message has those it has."
    ),
    Reason.UNKNOWN_INPUT: Explanation(
        "A wire reads an input that the pipeline does not have.",
        "Correct the name, or state the input.",
    ),
    Reason.MISSING_INPUT: Explanation(
        "An input of a model is not fed, and it is not optional.", "Wire it."
    ),
    Reason.UNUSED_INPUT: Explanation("Nothing reads an input of the pipeline.", "Remove it."),
    Reason.UNUSED_STEP: Explanation(
        "Nothing reads a step, and no output comes from it.", "Wire it, or remove it."
    ),
    Reason.DATATYPE_MISMATCH: Explanation(
        "Source and reader of a wire differ in their data type.",
        "Convert in a step, or export the model with the other type.",
    ),
    Reason.SHAPE_MISMATCH: Explanation(
        "Source and reader of a wire differ in their shape.",
        "Correct the shape that is stated, or convert in a step.",
    ),
    Reason.BATCH_MISMATCH: Explanation(
        "Source and reader differ by a dimension for rows.",
        "State shapes with the batch dimension that is meant: `docs/pipelines.md`.",
    ),
    Reason.MODEL_NOT_FOUND: Explanation(
        "`modelRef` names no InferenceModel of the namespace.",
        "Create it, or correct the name.",
    ),
    Reason.NAME_CLASH: Explanation(
        "Two things have one name that Triton does not tell apart.", "Rename one of them."
    ),
    Reason.READ_TWICE: Explanation(
        "Two outputs of the pipeline are one tensor of a step, which an ensemble cannot give.",
        "Leave one of them out.",
    ),
    Reason.DECOUPLED: Explanation(
        "A model may answer a request several times, or never; a pipeline answers each once.",
        "Serve it without `model_transaction_policy.decoupled`, or outside of the pipeline.",
    ),
    Reason.TYPE_UNKNOWN: Explanation(
        "It is not known what an output is, which Triton must be told.",
        "State datatype and shape of the output, or in the step's `model.config`.",
    ),
}

SERVERS: Final[Mapping[str, Explanation]] = {
    Reason.ONE_SERVER_FITS: Explanation("One server holds all steps."),
    Reason.DOES_NOT_FIT: Explanation(
        "Steps cannot run there, or need more memory together than a server has.",
        "Give the pods more memory, or allow `mode: Distributed`.",
    ),
    Reason.CUT_GAINS: Explanation("A request is faster over several servers than on any one."),
    Reason.CUT_NEEDED: Explanation(
        "No one server holds all steps, or `mode: Distributed` asks for several."
    ),
    Reason.CUT_COSTS_MORE: Explanation(
        "Calls between servers cost more than the steps gain, or what serves does as well."
    ),
    Reason.NOT_MEASURED: Explanation(
        "Whether it gains is unknown: not every step was measured.",
        "Wait until the step and its InferenceModel have served; `docs/pipelines.md` has what is "
        "measured, and what leaves it unknown.",
    ),
}

#: The words of ``core.compression.variants.VariantReason``, which stands above this package.
VARIANTS: Final[Mapping[str, Explanation]] = {
    "FastestVariant": Explanation(
        "Of the variants that are accurate enough it is the fastest on this processor."
    ),
    "OriginalServes": Explanation("No variant is both accurate enough and faster."),
    "NoAccuracyFloor": Explanation(
        "Nobody said how accurate is enough, so no variant is taken.",
        "State `accuracyFloor` of the step.",
    ),
    "UnknownAccuracy": Explanation(
        "The variant's accuracy was not stated.", "Measure it: `ferryman compress` does."
    ),
    "BelowAccuracyFloor": Explanation(
        "The variant is less accurate than the floor.",
        "Make a better variant, or lower the floor.",
    ),
    "UnknownSpeed": Explanation(
        "The variant's speed on this processor was not stated.",
        "Measure it there: `ferryman compress` does.",
    ),
    "NotFaster": Explanation("The variant is no faster here than the original."),
    "FasterVariant": Explanation("Another variant is accurate enough and faster."),
}
