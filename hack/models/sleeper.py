"""A model whose service time is known, tau(b) = fixed + per_item * b or any curve, spent asleep.

For load tests of batching on a real Triton with hardly any CPU. It echoes its input. Two
variants, because Triton wakes its batcher differently for them: one element for each row
(fixed dimensions), or any number of elements (a variable dimension besides the batch).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

SCRIPT = Path(__file__).with_name("sleeper_model.py")

CONFIG = """\
backend: "python"
max_batch_size: {max_batch_size}
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ {dim} ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ {dim} ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {delay_us} {batching} }}
"""
PARAMETER = 'parameters {{ key: "{}" value: {{ string_value: "{}" }} }}\n'


def config(
    *,
    fixed_us: int = 5_000,
    per_item_us: int = 1_000,
    variable: bool = False,
    max_batch_size: int = 16,
    delay_us: int = 0,
    instances: int = 1,
    batching: str = "",
    parameters: Mapping[str, object] | None = None,
    curve_us: Sequence[int] = (),
) -> str:
    """Return the config.pbtxt of a sleeper with these service times and batching.

    `curve_us` states tau(1), tau(2), … in place of the two coefficients; Triton refuses to load
    the model with a bound beyond its end.
    `batching` is more of Triton's dynamic_batching, in its text format. With the parameter
    `journal`, a path, each batch adds a line to that file: when it began (the monotonic clock,
    nanoseconds) and the rows of each of its requests.
    """
    given = {"fixed_us": fixed_us, "per_item_us": per_item_us, **(parameters or {})}
    if curve_us:
        given["curve_us"] = " ".join(map(str, curve_us))
    text = CONFIG.format(
        dim=-1 if variable else 1,
        max_batch_size=max_batch_size,
        delay_us=delay_us,
        instances=instances,
        batching=batching,
    )
    return text + "".join(PARAMETER.format(*item) for item in given.items())


def write(folder: Path, text: str | None = None) -> Path:
    """Write a sleeper with the configuration `text` as `folder`; return its model.py."""
    file = folder / "1" / "model.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SCRIPT, file)
    (folder / "config.pbtxt").write_text(config() if text is None else text)
    return file
