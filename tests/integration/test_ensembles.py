"""Pipelines as a real tritonserver serves them: what is generated loads and answers right."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from ferryman.api.conditions import Reason
from ferryman.clients import pbtxt
from ferryman.core.pipelines import validation
from tests.integration import arithmetic
from tests.integration.arithmetic import pipeline, step
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

#: A request waits 100 ms for a step that takes 300 ms: one of those that come together is served.
#: That step does not batch; its queue can reject all the same.
TIMEOUT_US = 100_000
SLOW_MS = 300

CHAIN = pipeline(
    "chain",
    [-1, 1],
    [
        step("chain-b", "double", {"x": "chain-a.y"}, [1], bound=8),
        step("chain-a", "double", {"x": "x"}, [1], bound=4),
    ],
    {"y": "chain-b.y"},
)
#: One tensor is read twice by one step and is an output besides; another one nobody reads.
DIAMOND = pipeline(
    "diamond",
    [-1, 2],
    [
        step("left", "double", {"x": "x"}, [2], bound=8, outputs="y.0 together"),
        step("right", "add", {"a": "left.y.0", "b": "left.y.0"}, [2], bound=8),
        step("other", "double", {"x": "x"}, [2], bound=2),
        step("join", "add", {"a": "right.y", "b": "other.y"}, [2], bound=8),
    ],
    {"sum": "join.y", "half": "left.y.0"},
)
ROWS = pipeline(
    "rows",
    [1],
    [
        step("spread", "spread", {"n": "x"}, [1], [-1, 1]),
        step("each", "double", {"x": "spread.y"}, [1], bound=4, outputs="y together", sleep_ms=50),
        step("total", "total", {"rows": "each.y"}, [-1, 1], [1]),
    ],
    {"total": "total.y", "together": "each.together"},
)
#: A request is one row for a step that batches, and a step that does not takes it back as it is.
ONE_ROW = pipeline(
    "one-row",
    [3],
    [
        step("batches", "double", {"x": "x"}, [3], bound=8),
        step("then", "double", {"x": "batches.y"}, [3]),
    ],
    {"y": "then.y"},
)
SLOW = pipeline(
    "slow",
    [-1, 1],
    [
        step("quick", "double", {"x": "x"}, [1], bound=1),
        step("slow-one", "double", {"x": "x"}, [-1, 1], sleep_ms=SLOW_MS),
        step("both", "add", {"a": "quick.y", "b": "slow-one.y"}, [1], bound=1),
    ],
    {"y": "both.y"},
)
PIPELINES = (CHAIN, DIAMOND, ROWS, ONE_ROW, SLOW)


#: (dims, bound) of one tensor: without and with a batch dimension, and of other sizes.
SIDES = {
    "no-rows": ([3], 0),
    "rows": ([-1, 3], 0),
    "two": ([2, 3], 0),
    "batches": ([3], 4),
    "batches-any": ([-1], 4),
    "batches-rows": ([-1, 3], 4),
    "batches-four": ([4], 4),
}
PAIRS = [(given, wanted) for given in SIDES for wanted in SIDES]


def pair(given, wanted):
    """Return a pipeline of two steps: what one gives the other wants."""
    (dims, bound), (wants, other) = SIDES[given], SIDES[wanted]
    return pipeline(
        f"{given}-to-{wanted}",
        whole(given),
        [
            step(f"from-{given}", "double", {"x": "x"}, dims, bound=bound),
            step(f"to-{wanted}", "double", {"x": f"from-{given}.y"}, wants, bound=other),
        ],
        {"y": f"to-{wanted}.y"},
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    for served in PIPELINES:
        limits = {each.name: TIMEOUT_US for each in served.spec.steps} if served is SLOW else {}
        arithmetic.write(repository, served, limits)
    names = [served.triton_name for served in PIPELINES]
    with (
        TritonServer(repository, models=names) as server,
        triton.InferenceServerClient(server.grpc_url) as connection,
    ):
        yield connection


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Load every pair that Triton loads; yield a client and what the log says of the others."""
    repository = tmp_path_factory.mktemp("pairs")
    served = [pair(*each) for each in PAIRS]
    for each in served:
        arithmetic.write(repository, each, faulty=True)
    options = ["--exit-on-error=false", "--strict-readiness=false"]
    names = [each.triton_name for each in served]
    with (
        TritonServer(repository, args=options, models=names) as server,
        triton.InferenceServerClient(server.grpc_url) as connection,
    ):
        index = connection.get_model_repository_index().models
        words = {
            name: "".join(line for line in server.log.splitlines() if f"ensemble {name}," in line)
            for name in {*names} - {each.name for each in index if each.state == "READY"}
        }
        yield connection, words


def ask(client, name, *outputs, x):
    value = np.array(x, np.float32)
    tensor = triton.InferInput("x", value.shape, "FP32")
    tensor.set_data_from_numpy(value)
    answer = client.infer(name, [tensor], client_timeout=20)
    return [answer.as_numpy(output).tolist() for output in outputs]


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_a_chain_keeps_the_rows_of_a_request(client, rows):
    assert ask(client, "chain", "y", x=[[n] for n in range(rows)]) == [
        [[4 * n] for n in range(rows)]
    ]


def test_a_request_of_more_rows_than_a_step_takes_is_refused_by_that_step(client):
    with pytest.raises(InferenceServerException, match="chain-a"):
        ask(client, "chain", "y", x=[[1]] * 5)


def test_branches_meet_again_and_a_tensor_may_be_read_by_many(client):
    assert ask(client, "diamond", "sum", "half", x=[[1, 2], [3, 4]]) == [
        [[6, 12], [18, 24]],
        [[2, 4], [6, 8]],
    ]


@pytest.mark.parametrize("rows", [1, 4])
def test_a_step_may_make_any_number_of_rows_of_a_request(client, rows):
    assert ask(client, "rows", "total", x=[rows]) == [[rows * (rows - 1)]]


def test_rows_of_several_requests_are_run_as_one_batch(client):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(client, "rows", "together", x=[1]), range(8)))

    assert max(rows[0][0] for (rows,) in answers) > 1


def test_a_request_without_a_batch_dimension_is_one_row_to_a_step_that_batches(client):
    assert ask(client, "one-row", "y", x=[1, 2, 3]) == [[4, 8, 12]]


def test_what_waits_longer_than_its_share_of_the_budget_is_rejected_and_all_are_answered(client):
    def outcome(_):
        try:
            return ask(client, "slow", "y", x=[[1]])
        except InferenceServerException as error:
            return error.status()

    begun = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(outcome, range(6)))

    served = [each for each in outcomes if each == [[[4]]]]
    assert 1 <= len(served) < 6
    assert [each for each in outcomes if each not in served] == ["StatusCode.UNAVAILABLE"] * (
        6 - len(served)
    )
    assert time.monotonic() - begun < 10


def test_what_clients_see_of_a_pipeline_is_what_it_states(client):
    seen = client.get_model_metadata("diamond", as_json=True)

    assert seen["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "2"]}]
    assert {entry["name"]: entry["shape"] for entry in seen["outputs"]} == {
        "sum": ["-1", "2"],
        "half": ["-1", "2"],
    }


@pytest.mark.parametrize(("given", "wanted"), PAIRS)
def test_what_is_said_to_fit_is_what_triton_takes(pairs, given, wanted):
    """Triton loads besides what only a request of one row survives, and fails other requests."""
    client, refusals = pairs
    stated = pair(given, wanted)
    name, faults = stated.triton_name, validation.faults(stated, arithmetic.known(stated))
    if name in refusals:
        assert "inconsistent shape" in refusals[name]
        assert [fault.step for fault in faults] == [f"to-{wanted}"]
        return
    sent = shape_for(given, wanted)
    if faults:
        assert [fault.reason for fault in faults] == [Reason.BATCH_MISMATCH]
        assert "one row" in faults[0].message
        assert ask(client, name, "y", x=np.ones([1, *sent[1:]]))
        with pytest.raises(InferenceServerException, match="unexpected shape"):
            ask(client, name, "y", x=np.ones(sent))
        return
    (answer,) = ask(client, name, "y", x=np.ones(sent))
    assert np.array_equal(np.reshape(answer, sent), 4 * np.ones(sent))


def whole(side):
    dims, bound = SIDES[side]
    return [-1, *dims] if bound else dims


def shape_for(given, wanted):
    """Return a shape of what is sent, with three rows where there can be several."""
    sizes, ends = whole(given), whole(wanted)
    matched = [max(pair) for pair in zip(sizes[::-1], ends[::-1], strict=False)][::-1]
    return [3 if n == -1 else n for n in (*sizes[: len(sizes) - len(matched)], *matched)]


@pytest.mark.parametrize("bound", [1, 2, 16])
def test_no_bound_of_a_step_takes_the_pipeline_out_of_service(client, bound):
    """With a bound of its own above the step's the ensemble would be gone: Triton answers OK."""
    config = {**CHAIN.spec.steps[1].model.config, "name": "chain-a", "backend": "python"}
    client.load_model(
        "chain-a", config=pbtxt.to_json(pbtxt.parse({**config, "max_batch_size": bound}))
    )

    assert client.is_model_ready("chain")
    rows = min(bound, 8)  # what chain-b takes
    assert ask(client, "chain", "y", x=[[1]] * rows) == [[[4]] * rows]
