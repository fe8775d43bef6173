"""Which variant of a step's model serves on a processor class, and why not the others.

The fastest variant that is at or above the owner's floor. What is not known of a variant counts
against it: accuracy and speed are the owner's to state, as ``ferryman compress`` measured them. A
speed is that beside the original on one processor class: a model that was compressed for one
processor may be slower on another (onnxruntime#26143).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class VariantReason(StrEnum):
    """Why a variant serves, or does not; or why the original does."""

    FASTEST = "FastestVariant"
    """It serves: at or above the floor, faster than the original and than all others like it."""
    ORIGINAL = "OriginalServes"
    """The original serves: no variant may, or there is none."""
    NOT_SERVED = "FormatNotSupported"
    """The runtime has no backend for its format on the class."""
    NO_FLOOR = "NoAccuracyFloor"
    UNKNOWN_ACCURACY = "UnknownAccuracy"
    BELOW_FLOOR = "BelowAccuracyFloor"
    UNKNOWN_SPEED = "UnknownSpeed"
    NOT_FASTER = "NotFaster"
    FASTER_ONE = "FasterVariant"
    """It may serve, and another one is faster."""


@dataclass(frozen=True, slots=True)
class MeasuredVariant:
    """What is known of a variant of a step's model."""

    name: str
    accuracy: Decimal | None
    """As its owner states it; None: not stated."""
    speedup: Decimal | None
    """How many times as fast as the original it was on the class; None: it never ran there."""
    is_served: bool = True
    """Whether the runtime has a backend for its format on the class."""


@dataclass(frozen=True, slots=True)
class VariantVerdict:
    """What was found about one variant."""

    name: str
    reason: VariantReason
    message: str


@dataclass(frozen=True, slots=True)
class VariantChoice:
    """Which variant of a step serves on a processor class."""

    chosen: str | None
    """None: the original."""
    reason: VariantReason
    message: str
    verdicts: tuple[VariantVerdict, ...]
    """Of every variant, in the order in which they were given."""


@dataclass(frozen=True, slots=True)
class _Eligible:
    """A variant that may serve: all is known of it."""

    name: str
    accuracy: Decimal
    speedup: Decimal


def choose_variant(
    step: str,
    processor_class: str,
    variants: Sequence[MeasuredVariant],
    floor: Decimal | None,
) -> VariantChoice:
    """Choose the fastest variant at or above the floor, or the original.

    Equally fast variants: the more accurate one, then the one that is named first.
    """
    judged = [_judge(each, floor) for each in variants]
    eligible = [each for each in judged if isinstance(each, _Eligible)]
    best = max(eligible, key=lambda each: (each.speedup, each.accuracy), default=None)
    verdicts = tuple(
        each if isinstance(each, VariantVerdict) else _among(each, best, floor) for each in judged
    )
    where = f"step {step} on {processor_class}"
    if best is None:
        why = "; ".join(f"{each.name}: {each.message}" for each in verdicts)
        message = f"{where}: the original serves; {why or 'it has no variants'}"
        return VariantChoice(None, VariantReason.ORIGINAL, message, verdicts)
    said = next(each.message for each in verdicts if each.reason == VariantReason.FASTEST)
    message = f"{where}: {best.name} serves: {said}"
    return VariantChoice(best.name, VariantReason.FASTEST, message, verdicts)


def _judge(variant: MeasuredVariant, floor: Decimal | None) -> _Eligible | VariantVerdict:
    """Return why a variant may not serve, else what is known of it."""

    def refused(reason: VariantReason, message: str) -> VariantVerdict:
        return VariantVerdict(variant.name, reason, message)

    accuracy = variant.accuracy
    if floor is None:
        said = "no floor is stated: state accuracyFloor to let variants serve"
        return refused(VariantReason.NO_FLOOR, said)
    if accuracy is None:
        said = "its accuracy is not stated: measure it with ferryman compress"
        return refused(VariantReason.UNKNOWN_ACCURACY, said)
    if accuracy < floor:
        said = f"its accuracy, {accuracy}, is below the floor, {floor}"
        return refused(VariantReason.BELOW_FLOOR, said)
    speed = _speed_of(variant)
    return refused(*speed) if isinstance(speed, tuple) else _Eligible(variant.name, accuracy, speed)


def _speed_of(variant: MeasuredVariant) -> Decimal | tuple[VariantReason, str]:
    """Return how many times as fast a variant is, or why it is not known to be faster."""
    if not variant.is_served:
        said = "the runtime has no backend for its format on this processor class"
        return VariantReason.NOT_SERVED, said
    if variant.speedup is None:
        said = "its speed on this processor class is not stated: measure it with ferryman compress"
        return VariantReason.UNKNOWN_SPEED, said
    if variant.speedup <= 1:
        return VariantReason.NOT_FASTER, f"it is {variant.speedup} times as fast as the original"
    return variant.speedup


def _among(variant: _Eligible, best: _Eligible | None, floor: Decimal | None) -> VariantVerdict:
    """Return what became of a variant that may serve: there is a best one then."""
    if best is None or variant is best:
        said = (
            f"it is {variant.speedup} times as fast as the original; its accuracy is "
            f"{variant.accuracy}, the floor {floor}"
        )
        return VariantVerdict(variant.name, VariantReason.FASTEST, said)
    said = f"it is {variant.speedup} times as fast as the original, {best.name} {best.speedup}"
    return VariantVerdict(variant.name, VariantReason.FASTER_ONE, said)
