"""Files that people write, and those that they were sent."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import yaml

from ferryman.cli.errors import InputError
from ferryman.cli.explaining import explain, explain_view
from ferryman.cli.files import fleet_file, own_file, scenario_file, snapshot_file
from ferryman.core.fleet.options import offers
from ferryman.core.simulator import loads, oracle
from tests import factories
from tests.fuzz import words

#: Committed examples.
DATA = Path(__file__).parent.parent / "data"
#: So many requests are drawn at once; a scenario may state more.
_FEW_REQUESTS = 10_000

SNAPSHOT_WORDS = (
    *("takenAt", "model", "runtime", "nodes", "metadata", "spec", "status", "name", "namespace"),
    *("storageUri", "modelFormat", "runtimeRef", "objectives", "latency", "percentile", "config"),
    *("targetMilliseconds", "throughput", "processors", "class", "image", "backends", "profile"),
    *("resources", "requests", "benchmark", "allocatable", "nodeType", "heartbeatTime", "points"),
    *("taints", "labels", "pricePerHour", "reservedCpuMillicores", "batching", "limits", "window"),
    *("placement", "policy", "replicas", "tolerations", "serving", "pods", "advice", "variants"),
)
FLEET_WORDS = (
    *("nodeTypes", "models", "name", "count", "pricePerHour", "cpu", "memoryMebibytes", "class"),
    *("processors", "imagesPerSecond", "ratePerSecond", "objectives", "hostMemoryMebibytes"),
    *("serviceTimes", "nodeType", "knots", "coefficients", "t0", "a", "maxBatchSize", "present"),
)
SCENARIO_WORDS = (
    *("serviceTime", "coefficients", "knots", "t0", "a", "arrivals", "poisson", "steps", "mmpp"),
    *("trace", "file", "ratePerSecond", "seconds", "calmMeanSeconds", "burstMeanSeconds", "drift"),
    *("objectives", "batching", "algorithm", "window", "initial", "limits", "guardrails", "seed"),
    *("windows", "windowSeconds", "reload", "liveCap", "replicas", "config", "maxWorkingBatch"),
)


@cache
def _file() -> Path:
    """Return a file in memory, where there is such a file system, that ends with the process."""
    memory = Path("/dev/shm")  # noqa: S108
    folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
    _KEPT.append(folder)
    return Path(folder.name) / "input.yaml"


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def written(data: bytes) -> Path:
    """Return a file that holds an input."""
    path = _file()
    path.write_bytes(data)
    return path


def document(data: bytes) -> None:
    """Refuse a text in words, or read its values; of JSON those that Python's parser finds."""
    path = written(data)
    with suppress(InputError):
        own_file.load_all(path, InputError, len(data))
    try:
        found = own_file.load(path, InputError)
    except InputError as error:
        words.said(str(error))
        return
    try:
        expected = json.loads(data.decode("utf-8-sig"), parse_constant=str)
    except ValueError:
        return  # it is YAML
    assert found == expected


def snapshot(data: bytes) -> None:
    """Refuse a snapshot in words, or decide and tell."""
    if not _is_json(data):
        return
    try:
        found, _ = snapshot_file.read(written(data))
    except InputError as error:
        words.said(str(error))
        return
    explanation = explain.explain(found, found.now or factories.NOW)
    assert json.dumps(explain_view.as_json(explanation), ensure_ascii=False)


def fleet(data: bytes) -> None:
    """Refuse a fleet in words, or know what could go where."""
    if not _is_json(data):
        return
    try:
        found = fleet_file.read(written(data))
    except InputError as error:
        words.said(str(error))
        return
    for priced in (False, True):
        try:
            offers(found, priced=priced)
        except ValueError as error:
            words.said(str(error))


def scenario(data: bytes) -> None:
    """Refuse a scenario in words, or draw its load and list its configurations."""
    if not _is_json(data):
        return
    try:
        found, gaps_s = scenario_file.read(written(data))
    except InputError as error:
        words.said(str(error))
        return
    assert found.start == found.in_effect(found.start)
    assert oracle.candidates(found, 20)
    if gaps_s or found.arrivals.expected_per_second * found.duration_s < _FEW_REQUESTS:
        try:
            loads.draw(found, gaps_s)
        except ValueError as error:
            words.said(str(error))


def _is_json(data: bytes) -> bool:
    """Whether it is: what else a file may be is what ``documents`` and ``commands`` are about.

    YAML takes many times as long to read, and comes to such values as JSON has.
    """
    try:
        json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return False
    except (ValueError, RecursionError):
        return True  # too many digits, or too deep
    return True


def example(name: str) -> bytes:
    """Return a committed example as people write it."""
    return (DATA / name).read_bytes()


def _as_json(name: str) -> bytes:
    return json.dumps(_typed(example(name)), separators=(",", ":")).encode()


def _typed(text: bytes) -> object:
    written = json.dumps(yaml.safe_load(text), default=lambda moment: moment.isoformat())
    return json.loads(written.replace("+00:00", "Z"))


def document_seeds() -> tuple[bytes, ...]:
    """Return what YAML and JSON have: kinds of values, styles, aliases, merges, tags."""
    texts = (
        "a: &a {b: 1, c: [x, 2.5, ~, yes, 0x1f, .inf]}\nd:\n  <<: *a\n  b: 2\n",
        "- |\n  text\n- >-\n  folded\n  text\n- 'it''s'\n- \"\\u00e9\\n\"\n- 2026-11-21\n",
        "? [1, 2]\n: !!set {a, b}\n!!str 3: !!binary aGk=\n",
        "---\na: 1\n...\n---\n- b # not a\n",
        '{"a": [1, -2.5e3, "\\ud83d\\ude00", null, true, NaN], "b": {}}',
    )
    return tuple(text.encode() for text in texts)


def snapshot_seeds() -> tuple[bytes, ...]:
    """Return the example of the format, and what a model without anything says."""
    small = factories.snapshot().as_dict()
    return _as_json("snapshot.yaml"), json.dumps(small).encode()


def fleet_seeds() -> tuple[bytes, ...]:
    """Return the example of the format."""
    return (_as_json("fleet.yaml"),)


def scenario_seeds() -> tuple[bytes, ...]:
    """Return the example of the format, and one with bursts."""
    mmpp = {
        "calmMeanSeconds": 20,
        "calmRatePerSecond": 5,
        "burstMeanSeconds": 5,
        "burstRatePerSecond": 50,
    }
    knots = [{"batchSize": 1, "milliseconds": 2}, {"batchSize": 64, "milliseconds": 40}]
    odd = {
        "serviceTime": {"knots": knots, "drift": [{"atSeconds": 10, "factor": 2}]},
        "arrivals": {"mmpp": mmpp},
        "objectives": {"throughput": {"minPerSecond": 4}},
        "windows": 2,
        "windowSeconds": 10,
        "config": {"dynamic_batching": {"preferred_batch_size": [4]}},
    }
    return _as_json("scenario.yaml"), json.dumps(odd).encode()
