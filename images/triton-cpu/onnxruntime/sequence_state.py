"""What a sequence batcher feeds a graph beside the client's inputs.

Control inputs (start, end, ready, correlation ID) Triton adds to each request itself. Implicit
state it only begins: it adds each state's initial value, but its Python backend has no way to
give the new value back. So the values of running sequences are kept here; that is enough, as
Triton sends all requests of a sequence to the same model instance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Config = Mapping[str, Any]
Arrays = dict[str, np.ndarray]

#: Flags of a request, as the protocol numbers them.
START, END = 1, 2
DEFAULT_IDLE_S = 1.0  # Triton's max_sequence_idle_microseconds where none is stated

CONTROL_TYPES = {
    "int32_false_true": "TYPE_INT32",
    "fp32_false_true": "TYPE_FP32",
    "bool_false_true": "TYPE_BOOL",
}


@dataclass(frozen=True)
class State:
    """One state of a sequence: an output that is the same sequence's next input."""

    input: str
    output: str
    initialised: bool


def states(config: Config) -> tuple[State, ...]:
    """Return the implicit states that a configuration declares."""
    return tuple(
        State(entry["input_name"], entry["output_name"], bool(entry.get("initial_state")))
        for entry in _stated_states(config)
    )


def control_inputs(config: Config) -> list[dict[str, Any]]:
    """Describe the control inputs as entries of a configuration's input list are."""
    controls = (config.get("sequence_batching") or {}).get("control_input", [])
    return [
        {"name": entry["name"], "data_type": _control_type(control), "dims": [1]}
        for entry in controls
        for control in entry.get("control", [])
    ]


def state_tensors(config: Config, side: str) -> list[dict[str, Any]]:
    """Describe the states' inputs or outputs by name and type, as a configuration's lists do."""
    return [
        {"name": entry[f"{side}_name"], "data_type": entry["data_type"]}
        for entry in _stated_states(config)
    ]


def _stated_states(config: Config) -> list[Config]:
    stated: list[Config] = (config.get("sequence_batching") or {}).get("state", [])
    return stated


def _control_type(control: Config) -> str:
    for key, data_type in CONTROL_TYPES.items():
        if control.get(key):
            return data_type
    stated: str = control.get("data_type", "TYPE_INVALID")
    return stated


class Sequences:
    """The states of the sequences that run on one model instance."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep what the configuration's `state` entries declare, as long as Triton would."""
        self.states = states(config)
        idle_us = (config.get("sequence_batching") or {}).get("max_sequence_idle_microseconds", 0)
        self._idle_s = int(idle_us) / 1e6 or DEFAULT_IDLE_S
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Arrays]] = {}

    def recall(self, sequence: Hashable, flags: int, feeds: Arrays) -> Arrays:
        """Return the inputs of a request with its sequence's states in them."""
        if flags & START:
            self._kept.pop(sequence, None)  # an earlier sequence of that name has ended
        if sequence not in self._kept:
            fresh = {s.input: np.zeros_like(feeds[s.input]) for s in self._uninitialised()}
            return feeds | fresh
        _, kept = self._kept[sequence]
        return feeds | kept

    def _uninitialised(self) -> list[State]:
        """Return the states for which Triton sends whatever lay in memory: zeros are kinder."""
        return [state for state in self.states if not state.initialised]

    def keep(self, sequence: Hashable, flags: int, outputs: Mapping[str, np.ndarray]) -> None:
        """Remember the states that a run gave; forget those of sequences that ended or idle."""
        now = self._clock()
        self._kept.pop(sequence, None)
        if not flags & END:
            self._kept[sequence] = (now, {s.input: outputs[s.output] for s in self.states})
        for other, (since, _) in list(self._kept.items()):  # the longest idle come first
            if now - since <= 2 * self._idle_s:
                break
            del self._kept[other]
