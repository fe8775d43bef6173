"""What ``inputMap`` and ``outputs[].from`` say, taken apart: which tensor of whom is read."""

from typing import NamedTuple


class Source(NamedTuple):
    """A tensor that somebody makes: a step, or the client."""

    step: str | None
    """The step that makes it; None: it is an input of the pipeline."""
    tensor: str
    """What its maker calls it."""

    def __str__(self) -> str:
        """Return it as the specification writes it."""
        return self.tensor if self.step is None else f"{self.step}.{self.tensor}"


def parse(wire: str) -> Source:
    """Return what a wire reads. Steps have no dot in their names, tensors of models may."""
    step, dot, tensor = wire.partition(".")
    return Source(step, tensor) if dot else Source(None, wire)
