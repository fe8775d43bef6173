"""`ferryman tune` against real tritonservers, with load, refusals and signals."""

import asyncio
import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from ferryman.api.batching import Batching
from ferryman.cli.main import main
from ferryman.clients import load_inputs, pbtxt
from ferryman.clients.load import generator as load
from ferryman.clients.load.generator import LoadSettings
from hack.models import sleeper
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

#: Two at a time in 10 ms: 200/s at most, and sent are 230/s.
UNDER_BATCHED = sleeper.config(fixed_us=9_000, per_item_us=500, max_batch_size=2)
RATE_PER_S = 230
QUICK = (
    "--window=1s..2s",
    "--reload-interval=0s",
    "--max-reloads-per-hour=60",
    "--max-batch=32",
)
SUMMARIES = ("--metrics-config=summary_latencies=true",)
STATEFUL = re.sub("dynamic_batching {.*}", "sequence_batching {}", UNDER_BATCHED)
SINGLE = re.sub(
    "dynamic_batching {.*}", "", UNDER_BATCHED.replace("max_batch_size: 2", "max_batch_size: 0")
)
#: A queue policy, priorities and a preferred size, and a warm-up with batches of 4.
OWNED = (
    sleeper.config(
        fixed_us=9_000,
        per_item_us=500,
        max_batch_size=16,
        batching="""preferred_batch_size: [ 6 ] priority_levels: 2 default_priority_level: 1
            default_queue_policy { default_timeout_microseconds: 500000 max_queue_size: 64 }""",
    )
    + """model_warmup { name: "w" batch_size: 4
    inputs { key: "input" value { data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } } }"""
)
DECOUPLED = f"{UNDER_BATCHED}\nmodel_transaction_policy {{ decoupled: true }}"


def write(repository, **models):
    for name, config in models.items():
        sleeper.write(repository / name, config)
    return repository


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = {
        "sleeper": UNDER_BATCHED,
        "stateful": STATEFUL,
        "decoupled": DECOUPLED,
        "single": SINGLE,
        "owned": OWNED,
    }
    repository = write(tmp_path_factory.mktemp("models"), unloaded=UNDER_BATCHED, **models)
    with TritonServer(repository, args=SUMMARIES, models=list(models)) as running:
        yield running


def arguments(server, *more, model="sleeper", url=None, target="--p99=60ms"):
    return [
        "tune",
        f"--url={url or server.grpc_url}",
        f"--metrics-url={server.metrics_url}",
        f"--model={model}",
        target,
        *QUICK,
        *more,
    ]


@pytest.fixture
def tune(server, capsys):
    """Run `ferryman tune` here; return its status and what it said."""

    def call(*more, server=server, **fields):
        status = main(arguments(server, *more, **fields))
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@contextlib.contextmanager
def loaded(server, seconds=100):
    """Send load from a thread of its own meanwhile; yields a list that gets the result.

    It has been sent for a second by then: the first window has traffic.
    """
    results, begun, done = [], threading.Event(), threading.Event()

    async def send():
        url = f"http://{server.http_url}"
        requests = load_inputs.random_requests(await load.signature_of(url, "sleeper"), 1, 1)
        settings = LoadSettings(RATE_PER_S, seconds, seed=7, deadline_s=30, max_in_flight=5_000)
        stop = asyncio.Event()

        async def watch():
            while not done.is_set():  # noqa: ASYNC110  set from another thread
                await asyncio.sleep(0.05)
            stop.set()

        watching = asyncio.create_task(watch())
        results.append(
            await load.run(
                url, "sleeper", requests, settings, on_interval=lambda _: begun.set(), stop=stop
            )
        )
        await watching

    sender = threading.Thread(target=lambda: asyncio.run(send()))
    sender.start()
    try:
        assert begun.wait(30), "no load was sent"
        yield results
    finally:
        done.set()
        sender.join(timeout=60)


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def in_force(server):
    """Return what Triton has in force, asked by a client of our own."""
    client = subprocess.run(
        [sys.executable, "-c", ASK, server.grpc_url], capture_output=True, text=True, check=True
    )
    return json.loads(client.stdout)


ASK = """
import sys, tritonclient.grpc as triton
config = triton.InferenceServerClient(sys.argv[1]).get_model_config("sleeper").config
print([config.max_batch_size, config.instance_group[0].count])
"""


def put(server, batching):
    """Have a batching in force before a test, whatever came before it."""
    config = sleeper.config(
        fixed_us=9_000,
        per_item_us=500,
        max_batch_size=batching.max_batch_size,
        instances=batching.instances,
    )
    subprocess.run(
        [sys.executable, "-c", PUT, server.grpc_url, pbtxt.to_json(pbtxt.from_text(config))],
        check=True,
    )


PUT = """
import sys, tritonclient.grpc as triton
triton.InferenceServerClient(sys.argv[1]).load_model("sleeper", config=sys.argv[2])
"""


def test_an_under_batched_model_is_tuned_until_it_meets_its_objective(server, tune, tmp_path):
    put(server, Batching(max_batch_size=2))
    journal = tmp_path / "journal.jsonl"
    with loaded(server) as results:
        status, out, err = tune(
            "--algorithm=Guarded",
            "--until-met",
            "--duration=90s",
            f"--journal={journal}",
            target="--p99=100ms",
        )
    told = records(journal.read_text())

    assert (status, err) == (0, ""), out
    (result,) = results
    assert (result.summary.figures.failed, result.summary.examples) == (0, {})
    windows = [record for record in told if record["event"] == "window"]
    assert windows[0]["met"] is False
    assert [window["met"] for window in windows[-3:]] == [True] * 3
    changes = [record for record in told if record["event"] == "change"]
    assert {change["outcome"] for change in changes} == {"Applied"}
    assert 1 <= len(changes) <= 4
    final = told[-1]["applied"]
    assert in_force(server) == [final["maxBatchSize"], final["instances"]]
    assert final["maxBatchSize"] > 2
    assert "in Triton's memory only" in out
    fragment = pbtxt.from_text(out[out.index("max_batch_size:") :])
    assert fragment.max_batch_size == final["maxBatchSize"]


def test_recommend_changes_nothing_and_prints_what_to_write(server, tune):
    put(server, Batching(max_batch_size=2))
    with loaded(server):
        status, out, _ = tune(
            "--algorithm=Guarded", "--recommend", "--until-met", "--duration=90s", "-o", "json"
        )
    told = records(out)

    assert status == 0
    assert in_force(server) == [2, 1]
    conclusion = told[-1]
    assert conclusion["event"] == "conclusion"
    assert conclusion["applied"]["maxBatchSize"] == 2
    assert conclusion["recommended"]["maxBatchSize"] > 2
    fragment = pbtxt.from_text(conclusion["configPbtxt"])
    assert fragment.max_batch_size == conclusion["recommended"]["maxBatchSize"]
    assert not [record for record in told if record["event"].startswith("change")]


def test_without_traffic_the_duration_ends_it_and_until_met_was_not_reached(server, tune):
    put(server, Batching(max_batch_size=2))
    status, out, _ = tune("--until-met", "--duration=5s")

    assert status == 3
    assert "no traffic" in out
    assert "In force: batch 2, delay 0 µs, 1 instance, as in the beginning." in out


def test_a_bound_above_the_limits_is_brought_inside_them_first(server, tune):
    put(server, Batching(max_batch_size=12))
    status, out, _ = tune("--max-batch=6", "--duration=2s")

    assert status == 0
    assert in_force(server) == [6, 1]
    assert "tuning starts here" in out


def whole(server, model):
    """Return the whole configuration in force, asked by a client of our own."""
    client = subprocess.run(
        [sys.executable, "-c", WHOLE, server.grpc_url, model], capture_output=True, check=True
    )
    return pbtxt.from_text(client.stdout.decode())


WHOLE = """
import sys, tritonclient.grpc as triton
from google.protobuf import text_format
config = triton.InferenceServerClient(sys.argv[1]).get_model_config(sys.argv[2]).config
print(text_format.MessageToString(config))
"""


def test_what_the_owner_stated_stays_and_is_told(server, tune):
    before = whole(server, "owned")
    status, out, _ = tune("--max-batch=8", "--duration=2s", model="owned")
    after = whole(server, "owned")

    assert status == 0
    assert "stays as the model has it: requests are rejected after 500000 µs" in out
    assert "stays as the model has it: preferred_batch_size 6" in out
    assert (before.max_batch_size, after.max_batch_size) == (16, 8)
    after.max_batch_size = before.max_batch_size
    assert after == before, "nothing else was changed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--max-batch=2"], "warmed up with batches of 4", id="the warm-up"),
        pytest.param(["--max-batch=5"], "preferred_batch_size 6 would be lost", id="a size"),
    ],
)
def test_what_cannot_stay_is_refused_before_anything_is_loaded(server, tune, arguments, words):
    before = whole(server, "owned")
    status, _, err = tune(*arguments, model="owned")

    assert (status, err.count("\n")) == (2, 1)
    assert words in err
    assert whole(server, "owned") == before


def test_a_signal_ends_it_cleanly_and_says_what_is_in_force(server):
    put(server, Batching(max_batch_size=2))
    command = [sys.executable, "-m", "ferryman.cli.main", *arguments(server)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    begun = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert first.startswith("tuning sleeper on ")
    assert "in force: batch 2" in begun
    assert (process.returncode, err) == (0, "")
    assert "In force: batch 2" in out


def test_on_a_terminal_the_display_is_live(server, tune, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    put(server, Batching(max_batch_size=2))
    status, out, _ = tune("--duration=3s")

    assert status == 0
    out = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out)
    assert "in force    batch 2, delay 0 µs, 1 instance" in out
    assert "window: 0 of 1000 requests" in out


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        pytest.param({"model": "nobody"}, 1, "has no model nobody .it has: ", id="no such model"),
        pytest.param({"model": "unloaded"}, 1, "unloaded at .* is not ready", id="not loaded"),
        pytest.param({"model": "stateful"}, 4, "keeps its sequences", id="a stateful model"),
        pytest.param({"model": "decoupled"}, 4, "it is decoupled", id="a decoupled model"),
        pytest.param({"model": "single"}, 4, "max_batch_size is 0", id="no batch dimension"),
        pytest.param({"url": "127.0.0.1:9"}, 1, "gRPC port is 8001", id="nobody listens"),
        pytest.param({"target": "--p99=1us"}, 2, "no whole number of ms", id="no such target"),
    ],
)
def test_what_cannot_be_tuned_is_said_with_its_reason(tune, fields, status, words):
    found, out, err = tune("--duration=3s", **fields)

    assert (found, out) == (status, "")
    assert err.startswith("ferryman tune: ")
    assert re.search(words, err)


def test_a_file_that_triton_did_not_load_is_refused(tune, tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text(UNDER_BATCHED.replace("9000", "8000"))
    status, _, err = tune("--duration=3s", f"--config={file}")
    assert status == 2
    assert "is not what Triton loaded: parameters differ: fixed_us" in err
    file.write_text(UNDER_BATCHED)
    assert tune("--duration=1s", f"--config={file}")[0] == 0


def test_the_http_port_is_recognised_as_the_wrong_one(server, tune):
    status, _, err = tune("--duration=3s", url=server.http_url)

    assert status == 1
    assert "its gRPC port is 8001 unless it was changed; 8000 is HTTP" in err


def test_a_key_that_is_needed_is_asked_for(tmp_path, tune):
    repository = write(tmp_path / "models", sleeper=UNDER_BATCHED)
    key = tmp_path / "key"
    key.write_text("secret")
    with TritonServer(repository, control_key="secret", models=["sleeper"]) as keyed:
        status, _, err = tune("--duration=2s", server=keyed)
        assert status == 1
        assert "expecting header 'triton-grpc-protocol-control-key'" in err
        assert "--control-key-file" in err
        with_key = (f"--control-key-file={key}", "--control-key-name=control-key")
        status, out, _ = tune("--duration=2s", "--max-batch=1", *with_key, server=keyed)
        assert status == 0
        assert "In force: batch 1" in out


def test_where_model_control_and_metrics_are_off_only_recommend_runs(tmp_path, tune):
    repository = write(tmp_path / "models", sleeper=UNDER_BATCHED)
    options = ("--model-control-mode=none", "--allow-metrics=false")
    with TritonServer(repository, args=options) as closed:
        status, _, err = tune("--duration=2s", server=closed)
        assert status == 4
        assert "its model control is off (explicit model load / unload is not allowed" in err
        assert "--recommend" in err
        status, out, _ = tune("--duration=3s", "--recommend", server=closed)
    assert status == 0
    assert "note: no metrics page at " in out
    assert "There was no decision yet" in out


def test_a_page_without_summaries_is_named(tmp_path, tune):
    repository = write(tmp_path / "models", sleeper=UNDER_BATCHED)
    with TritonServer(repository, models=["sleeper"]) as plain:
        _, out, _ = tune("--duration=1s", server=plain)
    assert "note: the metrics page has no latency summaries: " in out


def stop_once_tuning(server, out):
    """Stop a server when what it has in force was printed; after a while in any case."""
    deadline = time.monotonic() + 20
    while "in force: " not in out.getvalue() and time.monotonic() < deadline:
        time.sleep(0.05)
    server.stop()


def test_a_server_that_dies_is_given_up_and_said(tmp_path):
    repository = write(tmp_path / "models", sleeper=UNDER_BATCHED)
    doomed = TritonServer(repository, models=["sleeper"])
    doomed.start()
    try:
        out = io.StringIO()
        threading.Thread(target=stop_once_tuning, args=(doomed, out)).start()
        with contextlib.redirect_stdout(out):
            status = main(arguments(doomed, "--patience=3s", "--duration=30s"))
    finally:
        doomed.stop()

    assert status == 1
    assert "lost: no answer for " in out.getvalue()
