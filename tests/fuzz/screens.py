"""Terminals: whatever a name, a message or a file holds, no control character is written."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import yaml
from rich.text import Text

from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.cli import terminal
from ferryman.cli.errors import EXIT_STATUSES
from ferryman.cli.main import main
from ferryman.cli.tables import Column, Listing
from tests.fuzz import files

_HARMFUL = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: What is imported, by how a file's name ends.
IMPORTED = (".yaml", ".pbtxt", ".csv")
IMPORT_OPTIONS = ("--latency-ms", "50", "--storage-uri", "pvc://m", "--format", "onnx")
IMPORT_WORDS = (
    *(
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "labels",
        "spec",
        "predictor",
        "model",
        "storageUri",
    ),
    *("modelFormat", "minReplicas", "maxReplicas", "tolerations", "key", "operator", "affinity"),
    *("nodeAffinity", "resources", "limits", "env", "value", "securityContext", "items", "onnx"),
)
#: The status that says that a fault of Ferryman's own ended a command.
_BROKEN = 70
#: A simulation of more takes more than moments.
_FEW_REQUESTS = 2_000


def harm(text: str) -> set[str]:
    """Return the characters of a text that a terminal should not be sent."""
    return {
        each
        for each in set(text)
        if each not in "\n\t" and (unicodedata.category(each) in _HARMFUL or each in _TURNING)
    }


def terminal_text(data: bytes) -> None:
    """Show cells, lines and messages without what does harm, however narrow it is."""
    text = data.decode(errors="surrogateescape")
    name, _, why = text.partition("|")
    with captured() as (out, err):
        sys.stdout.write(text)
        print(text, file=sys.stderr)
        terminal.say("explain", text)
        console = terminal._PrintableConsole(file=out, width=20 + len(data) % 60, highlight=False)
        table = Listing((Column("NAME"), Column("WHY", fold=10, below=True)), title="t")
        table.add(name, Text(why))
        console.print(table)
        console.print(Text(text), soft_wrap=True)
    assert not harm(out.getvalue() + err.getvalue())


def text_seeds() -> tuple[bytes, ...]:
    """Return what clears, colours and turns round."""
    hostile = "\x1b[2J\x1b]0;t\x07|\x9b31m\u202egnp\rwiped\x08\u2028\U000e0041"
    return hostile.encode(), b"node-1|a word and another", b"\xff\xfe|\x80", "宽|é".encode()


COMMANDS = (
    ("explain", "--snapshot"),
    ("explain", "-o", "json", "--snapshot"),
    ("nodes", "--snapshot"),
    ("nodes", "-o", "json", "--snapshot"),
    ("place", "--time-limit", "0.2", "--snapshot"),
    ("simulate", "--no-oracle", "--scenario"),
)


def commands(data: bytes) -> None:
    """End a whole command with a status that the manual knows, and write nothing harmful."""
    number, _, content = data.partition(b"\n")
    command = COMMANDS[sum(number) % len(COMMANDS)]
    path = files.written(content)
    if command[0] == "simulate" and _is_long(path):
        return
    with captured() as (out, err):
        status = main([*command, str(path)])
    said = out.getvalue() + err.getvalue()
    assert not harm(said)
    assert "fault of Ferryman's own" not in said, said
    assert status in {0, 1, *EXIT_STATUSES} - {_BROKEN}


def imports(data: bytes) -> None:
    """Refuse what is imported in words, or print objects that the API takes."""
    number, _, content = data.partition(b"\n")
    path = files.written(content).with_suffix(IMPORTED[sum(number) % len(IMPORTED)])
    path.write_bytes(content)
    with captured() as (out, err):
        status = main(["import", str(path), *IMPORT_OPTIONS])
    assert not harm(out.getvalue() + err.getvalue())
    assert status in {0, 1, 2}, err.getvalue()
    for found in yaml.safe_load_all(out.getvalue()):
        kind = InferencePipeline if found["kind"] == "InferencePipeline" else InferenceModel
        assert kind.model_validate(found)


def import_seeds() -> tuple[bytes, ...]:
    """Return services, a configuration, an ensemble and a table, each with its number."""
    services = yaml.safe_load_all((files.DATA / "services.yaml").read_bytes())
    table = (
        "Model,Batch,Concurrency,Instance Group,Max Batch Size,Throughput (infer/sec),"
        "p99 Latency (ms)\nm,1,64,2:GPU,32,300,45\n"
    )
    ensemble = (
        'name: "e" platform: "ensemble" max_batch_size: 8 '
        'input { name: "a" data_type: TYPE_FP32 dims: [ 4 ] } '
        'output { name: "b" data_type: TYPE_FP32 dims: [ 4 ] } ensemble_scheduling { step '
        '{ model_name: "m" input_map { key: "x" value: "a" } output_map { key: "y" value: "b" } } }'
    )
    model = 'name: "m" backend: "python" max_batch_size: 8 instance_group { count: 2 }'
    return (
        *(b"\x00\n" + json.dumps(each).encode() for each in services),
        *(b"\x01\n" + text.encode() for text in (model, ensemble)),
        b"\x02\n" + table.encode(),
    )


def _is_long(path: files.Path) -> bool:
    """Whether a simulation would take more than moments: a file may ask for that."""
    try:
        found, gaps_s = files.scenario_file.read(path)
    except files.InputError:
        return False
    return bool(gaps_s) or found.arrivals.expected_per_second * found.duration_s > _FEW_REQUESTS


#: What each command reads: an example as people write it, and what else to begin with.
_READ = {
    "explain": ("snapshot.yaml", files.snapshot_seeds),
    "nodes": ("snapshot.yaml", files.snapshot_seeds),
    "place": ("fleet.yaml", files.fleet_seeds),
    "simulate": ("scenario.yaml", files.scenario_seeds),
}


def command_seeds() -> tuple[bytes, ...]:
    """Return each command with examples."""
    return tuple(
        number.to_bytes(1, "big") + b"\n" + seed
        for number, (command, *_) in enumerate(COMMANDS)
        for seed in (files.example(_READ[command][0]), *_READ[command][1]())
    )


@contextmanager
def captured() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Have what is printed go through screens, as ``main`` has it, and be kept."""
    before = sys.stdout, sys.stderr
    out, err = io.StringIO(), io.StringIO()
    sys.stdout, sys.stderr = out, err
    try:
        with terminal.screens():
            yield out, err
    finally:
        sys.stdout, sys.stderr = before
