"""What a model configuration asks of ONNX Runtime, and what of it cannot be had here.

Triton's own onnxruntime backend reads the same parameters and the same `optimization` block.
What it would do on a GPU only, or with a library that this image lacks, is said in the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnxruntime

Config = Mapping[str, Any]

#: `optimization { graph { level } }`; any other number means all optimisations.
GRAPH_LEVELS = {
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
EXECUTION_MODES = {
    "0": onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
    "1": onnxruntime.ExecutionMode.ORT_PARALLEL,
}
SWITCHES = {"enable_mem_arena": "enable_cpu_mem_arena", "enable_mem_pattern": "enable_mem_pattern"}
WORDS = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
SHRINKAGE = "memory.enable_memory_arena_shrinkage"
SESSION_PREFIX = "session."
#: Threads never spin while they wait, as that would burn a container's quota.
SESSION_DEFAULTS = {"session.intra_op.allow_spinning": "0"}

#: Parameters with readers of their own: thread counts (cpu_budget), Triton, Ferryman.
READ_ELSEWHERE = ("intra_op_thread_count", "inter_op_thread_count", "TRITON_", "FERRYMAN_")
GPU_ONLY = (
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
)
#: The accelerator for CPUs that NVIDIA's image has and this one lacks.
ABSENT_ACCELERATORS = ("openvino",)


@dataclass(frozen=True)
class Asked:
    """The options of a session and of its runs, and what has no effect, in words for the log."""

    graph_level: onnxruntime.GraphOptimizationLevel
    execution_mode: onnxruntime.ExecutionMode
    switches: dict[str, bool] = field(default_factory=dict)
    session_entries: dict[str, str] = field(default_factory=dict)
    run_entries: dict[str, str] = field(default_factory=dict)
    operator_libraries: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name the options, for the log."""
        entries = self.switches | self.session_entries | self.run_entries
        modes = [self.graph_level.name, self.execution_mode.name]
        return ", ".join([*modes, *(f"{key}={value}" for key, value in entries.items())])

    def apply(self, options: onnxruntime.SessionOptions) -> None:
        """Write them into the options of a session that is about to be opened."""
        options.graph_optimization_level = self.graph_level
        options.execution_mode = self.execution_mode
        for name, value in self.switches.items():
            setattr(options, name, value)
        for key, value in self.session_entries.items():
            options.add_session_config_entry(key, value)
        for library in self.operator_libraries:
            _register(options, library)

    def run_options(self) -> onnxruntime.RunOptions | None:
        """Return the options of each run, None where there are none."""
        if not self.run_entries:
            return None
        options = onnxruntime.RunOptions()
        for key, value in self.run_entries.items():
            options.add_run_config_entry(key, value)
        return options


def read(config: Config) -> Asked:
    """Read what config.pbtxt asks for; raise ValueError where a value makes no sense."""
    stated = (config.get("parameters") or {}).items()
    texts = {key: value.get("string_value", "") for key, value in stated}
    optimization = config.get("optimization") or {}
    level = int((optimization.get("graph") or {}).get("level", 0))
    switches = {SWITCHES[key]: _switch(key, texts[key]) for key in SWITCHES if key in texts}
    shrink = _shrinkage(texts.get(SHRINKAGE, ""), arena=switches.get("enable_cpu_mem_arena", True))
    return Asked(
        GRAPH_LEVELS.get(level, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL),
        _execution_mode(texts.get("execution_mode", "0")),
        switches,
        SESSION_DEFAULTS | {k: v for k, v in texts.items() if k.startswith(SESSION_PREFIX)},
        {SHRINKAGE: shrink} if shrink else {},
        tuple((config.get("model_operations") or {}).get("op_library_filename", [])),
        tuple(_ignored(texts, optimization, shrink)),
    )


def _execution_mode(text: str) -> onnxruntime.ExecutionMode:
    if text not in EXECUTION_MODES:
        raise ValueError(
            f"parameter 'execution_mode' must be 0 (sequential) or 1 (parallel), not '{text}'"
        )
    return EXECUTION_MODES[text]


def _switch(key: str, text: str) -> bool:
    if text.lower() not in WORDS:
        raise ValueError(f"parameter '{key}' must be 1 or 0, not '{text}'")
    return WORDS[text.lower()]


def _shrinkage(text: str, *, arena: bool) -> str:
    """Keep the devices that this session has: the CPU, while its arena is on."""
    return ";".join(device for device in text.split(";") if arena and device.startswith("cpu"))


def _register(options: onnxruntime.SessionOptions, library: str) -> None:
    try:
        options.register_custom_ops_library(library)
    except Exception as error:
        raise ValueError(
            f"model_operations: the library of operators '{library}' cannot be loaded: {error}"
        ) from error


def _ignored(texts: Mapping[str, str], optimization: Config, shrink: str) -> Iterator[str]:
    accelerators = optimization.get("execution_accelerators") or {}
    for entry in accelerators.get("gpu_execution_accelerator", []):
        yield f"execution accelerator '{entry['name']}' has no effect: it is for GPUs"
    for entry in accelerators.get("cpu_execution_accelerator", []):
        if entry["name"] not in ABSENT_ACCELERATORS:
            raise ValueError(f"execution accelerator '{entry['name']}' is unknown")
        yield (
            f"execution accelerator '{entry['name']}' has no effect: this image has only ONNX "
            "Runtime's CPU provider"
        )
    for key in texts:
        if key in GPU_ONLY:
            yield f"parameter '{key}' has no effect: it is for GPUs"
        elif not _is_read(key):
            yield f"parameter '{key}' has no effect: this backend does not know it"
    if texts.get(SHRINKAGE, "") != shrink:
        yield (
            f"parameter '{SHRINKAGE}' is '{texts[SHRINKAGE]}', of which only '{shrink}' has an "
            "effect: it shrinks the arena of the CPU, where enable_mem_arena leaves one"
        )


def _is_read(key: str) -> bool:
    ours = (*SWITCHES, SHRINKAGE, "execution_mode")
    return key in ours or key.startswith((SESSION_PREFIX, *READ_ELSEWHERE))
