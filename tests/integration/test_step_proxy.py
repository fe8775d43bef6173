"""Two real servers: the ensemble of the one has a proxy for a step that the other serves."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from ferryman.clients import pbtxt
from ferryman.core.triton.step_proxy import StepServer, proxy_config
from ferryman.served import step_proxy
from tests.integration import arithmetic
from tests.integration.arithmetic import pipeline, step
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

DEADLINE_MS = 1_000
SLOW_MS = 3_000
PROXIED = (
    step("near", "double", {"x": "x"}, [2], bound=8),
    step("far", "double", {"x": "near.y"}, [2], bound=4, outputs="y together"),
)
SLOW = (
    step("soon", "double", {"x": "x"}, [2], bound=8),
    step("late", "double", {"x": "soon.y"}, [2], bound=4, sleep_ms=SLOW_MS),
)
#: What the far server has under this name takes one row, so that its answer to two is an error.
NARROW = (
    step("before", "double", {"x": "x"}, [2], bound=8),
    step("narrow", "double", {"x": "before.y"}, [2], bound=4),
)


def put_proxy(repository: Path, each: dict, port: int, model: str = "") -> None:
    """Replace a step of a repository by its proxy."""
    name = each["name"]
    server = StepServer("127.0.0.1", port, model or name, DEADLINE_MS)
    config = proxy_config(name, each["model"]["config"], server)
    (repository / name / "config.pbtxt").write_text(pbtxt.encode(config))
    (repository / name / "1" / "model.py").write_text(Path(step_proxy.__file__).read_text())


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Return the near server, which clients ask, and the far one."""
    folder = tmp_path_factory.mktemp("proxied")
    near, far, narrow = folder / "near", folder / "far", folder / "narrow"
    shapes = {
        name: pipeline(name, [-1, 2], list(steps), {"y": f"{steps[1]['name']}.y"})
        for name, steps in (("whole", PROXIED), ("slow", SLOW), ("strict", NARROW))
    }
    together = pipeline("whole", [-1, 2], list(PROXIED), {"y": "far.y", "together": "far.together"})
    for repository in (near, far):
        arithmetic.write(repository, together)
        arithmetic.write(repository, shapes["slow"])
        arithmetic.write(repository, shapes["strict"])
    config = (far / "narrow" / "config.pbtxt").read_text()
    (far / "narrow" / "config.pbtxt").write_text(
        config.replace("max_batch_size: 4", "max_batch_size: 1")
    )
    assert not narrow.exists()
    with TritonServer(far, models=["far", "late", "narrow", "whole"]) as distant:
        port = int(distant.http_url.rpartition(":")[2])
        for each in (PROXIED[1], SLOW[1], NARROW[1]):
            put_proxy(near, each, port)
        with TritonServer(near, models=[*shapes]) as server:
            yield server, distant


def ask(server: TritonServer, model: str, rows: int, first: float = 1.0) -> dict:
    values = first + np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    tensor = triton.InferInput("x", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    with triton.InferenceServerClient(server.grpc_url) as client:
        answer = client.infer(model, [tensor], client_timeout=30)
    return {each.name: answer.as_numpy(each.name) for each in answer.get_response().outputs}


def failure(server: TritonServer, model: str, rows: int = 1) -> tuple[str, str, float]:
    """Return the code and the words of a request that fails, and how long that took."""
    began_s = time.monotonic()
    with pytest.raises(InferenceServerException) as caught:
        ask(server, model, rows)
    return caught.value.status(), caught.value.message(), time.monotonic() - began_s


def test_answers_are_those_of_the_whole_on_one_server(servers):
    near, far = servers
    for rows in (1, 3, 4):
        here, there = ask(near, "whole", rows), ask(far, "whole", rows)
        assert here.keys() == there.keys() == {"y", "together"}
        np.testing.assert_array_equal(here["y"], there["y"])


def test_requests_meet_in_batches_at_the_steps_server(servers):
    near, _ = servers
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(ask, near, "whole", 1, float(n)) for n in range(200)]
        found = [each.result() for each in asked]
    for number, answer in enumerate(found):
        np.testing.assert_array_equal(answer["y"], [[4.0 * number, 4.0 * number + 4]])
    assert max(answer["together"].max() for answer in found) > 1


def test_a_deadline_ends_a_call_and_nothing_else(servers):
    near, _ = servers
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(failure, near, "slow")
        quick = [pool.submit(ask, near, "whole", 1) for _ in range(5)]
        assert all(each.result()["y"].shape == (1, 2) for each in quick)
        code, words, took_s = slow.result()
    assert code == "StatusCode.UNAVAILABLE"
    assert "step late: no answer within 1 s" in words
    assert DEADLINE_MS / 1e3 * 0.9 <= took_s < DEADLINE_MS / 1e3 + 0.8


def test_what_the_steps_server_refuses_keeps_its_code_and_words(servers):
    near, _ = servers
    code, words, took_s = failure(near, "strict", rows=2)
    assert code == "StatusCode.INVALID_ARGUMENT"
    assert "step narrow: " in words
    assert "batch-size must be <= 1" in words
    assert took_s < DEADLINE_MS / 1e3, "what was answered is not asked again"


def test_a_server_that_is_gone_is_an_error_and_one_that_is_back_answers(servers):
    near, far = servers
    far._process.kill()  # as the kubelet does at the end of a pod's grace
    far._process.wait(20)
    code, words, took_s = failure(near, "whole")
    assert code == "StatusCode.UNAVAILABLE"
    assert "step far: 3 calls failed, the last at 127.0.0.1" in words
    assert took_s < DEADLINE_MS / 1e3
    far.restart()
    np.testing.assert_array_equal(ask(near, "whole", 1)["y"], [[4.0, 8.0]])
