"""How a pod ends: its times, what it tells its clients, and what the status says of it."""

import os
import subprocess

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_runtime import RuntimeDrain
from ferryman.core.render import ending
from tests import factories
from tests.unit.core.test_render import pod_spec

LIBRARY = "/usr/local/lib/ferryman/drain.so"
WHOLE = RuntimeDrain(library=LIBRARY, grpc_connection_age_seconds=10)
HTTP_ALONE = RuntimeDrain(library=LIBRARY)
GRPC_ALONE = RuntimeDrain(grpc_connection_age_seconds=10)
COPIED = WHOLE.with_(image="ferryman.dev/ferryman:dev")


def spec_of(drain, **model):
    return pod_spec(entry=factories.runtime_processor(drain=drain), **model)


@pytest.mark.parametrize(
    ("drain", "longest_s", "pre_stop_s", "exit_s", "grace_s"),
    [
        pytest.param(WHOLE, 2, 14, 20, 40, id="1.1 x 10 s of age, 1 s of lag, 2 s of request"),
        pytest.param(WHOLE, 60, 72, 60, 138, id="long requests are waited for, twice"),
        pytest.param(
            WHOLE.with_(grpc_connection_age_seconds=60), 2, 69, 20, 95, id="an age of a minute"
        ),
        pytest.param(
            WHOLE.with_(grpc_connection_age_seconds=3), 2, 13, 20, 39, id="HTTP takes the longest"
        ),
        pytest.param(HTTP_ALONE, 2, 13, 20, 39, id="HTTP alone"),
        pytest.param(GRPC_ALONE, 2, 14, 20, 40, id="gRPC alone"),
        pytest.param(None, 2, 7, 20, 33, id="nothing drains: endpoints go"),
    ],
)
def test_the_times_of_an_end(drain, longest_s, pre_stop_s, exit_s, grace_s):
    found = ending.ending(drain, longest_s)
    assert (found.pre_stop_s, found.exit_timeout_s, found.grace_s) == (pre_stop_s, exit_s, grace_s)


@pytest.mark.parametrize("age_s", [1, 7, 10, 11, 100, 3_600])
@pytest.mark.parametrize("longest_s", [1, 2, 25, 3_600])
def test_no_connection_outlives_pre_stop_and_all_fits_into_the_grace_period(age_s, longest_s):
    found = ending.ending(WHOLE.with_(grpc_connection_age_seconds=age_s), longest_s)
    assert found.pre_stop_s >= 11 * age_s / 10 + ending.ENDPOINT_LAG_S + longest_s
    assert 0 < found.window_s < found.pre_stop_s, "what rests is ended before Triton is told"
    assert found.grace_s > found.pre_stop_s + found.exit_timeout_s


@pytest.mark.parametrize(
    ("drain", "http", "grpc", "reason", "words"),
    [
        pytest.param(WHOLE, True, True, Reason.DRAINS, "clients leave within the 14 s", id="both"),
        pytest.param(
            HTTP_ALONE,
            True,
            False,
            Reason.DRAINS_IN_PART,
            "keep gRPC connections: runtime triton states no drain.grpcConnectionAgeSeconds",
            id="HTTP alone",
        ),
        pytest.param(
            GRPC_ALONE,
            False,
            True,
            Reason.DRAINS_IN_PART,
            "keep HTTP connections: runtime triton states no drain.library",
            id="gRPC alone",
        ),
        pytest.param(
            None,
            False,
            False,
            Reason.NO_DRAIN,
            "keep HTTP and gRPC connections: runtime triton states no drain.library and no "
            "drain.grpcConnectionAgeSeconds",
            id="nothing",
        ),
    ],
)
def test_the_status_says_what_is_missing(drain, http, grpc, reason, words):
    said = ending.status(ending.ending(drain, 2), "triton")
    assert (said.http, said.grpc, said.reason) == (http, grpc, reason)
    assert words in said.message


def test_the_longest_request_is_the_models_own():
    spec = spec_of(WHOLE, longest_request_seconds=30)
    assert spec["terminationGracePeriodSeconds"] == ending.ending(WHOLE, 30).grace_s


def test_a_pod_without_a_drain_is_started_as_ever_and_sleeps():
    spec = spec_of(None)
    triton = spec["containers"][0]
    assert triton["command"][-1] == "tritonserver"
    assert triton["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}
    assert not [a for a in triton["args"] if "connection-age" in a]
    assert "drain" not in [volume["name"] for volume in spec["volumes"]]


def test_grpc_connections_are_renewed_where_the_image_knows_how():
    triton = spec_of(GRPC_ALONE)["containers"][0]
    assert "--grpc-max-connection-age=10000" in triton["args"]
    assert "LD_PRELOAD" not in triton["command"][2], "nothing is preloaded"


def test_the_runtimes_own_arguments_still_come_last():
    entry = factories.runtime_processor(drain=WHOLE, args=("--exit-timeout-secs=90",))
    assert pod_spec(entry=entry)["containers"][0]["args"][-1] == "--exit-timeout-secs=90"


def test_the_library_of_the_runtimes_image_is_used_where_it_lies():
    spec = spec_of(WHOLE)
    assert [container["name"] for container in spec["initContainers"]] == ["layout"]
    assert f"LD_PRELOAD={LIBRARY}" in spec["containers"][0]["command"][2]


def test_a_library_of_another_image_is_copied_first():
    spec = spec_of(COPIED)
    copying = spec["initContainers"][-1]
    assert (copying["name"], copying["image"]) == ("drain", "ferryman.dev/ferryman:dev")
    assert copying["command"] == ["cp", LIBRARY, "/drain/drain.so"]
    assert copying["securityContext"]["readOnlyRootFilesystem"] is True
    assert "LD_PRELOAD=/drain/drain.so" in spec["containers"][0]["command"][2]


@pytest.mark.parametrize("drain", [WHOLE, COPIED])
def test_flag_and_library_lie_where_the_pod_may_write(drain):
    spec = spec_of(drain)
    assert spec["volumes"][-1] == {"name": "drain", "emptyDir": {"sizeLimit": "16Mi"}}
    triton = spec["containers"][0]
    assert triton["volumeMounts"][-1] == {"name": "drain", "mountPath": "/drain"}
    environment = {entry["name"]: entry.get("value") for entry in triton["env"]}
    assert environment["FERRYMAN_DRAIN_FILE"] == "/drain/ending"
    assert environment["FERRYMAN_DRAIN_WINDOW_MS"] == "12000"


@pytest.fixture
def shell(tmp_path):
    """Run a script of the pod with a folder of the test's own for /drain."""

    def run(script, *arguments, **environment):
        ours = script.replace("/drain/ending", str(tmp_path / "ending")).replace("sleep", "echo")
        return subprocess.run(
            ["/bin/sh", "-c", ours, "sh", *arguments],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout

    return run


@pytest.mark.parametrize(
    ("environment", "preloaded"),
    [
        pytest.param({}, "/none/drain.so", id="alone"),
        pytest.param({"LD_PRELOAD": "libm.so.6"}, "/none/drain.so:libm.so.6", id="beside others"),
    ],
)
def test_the_server_starts_with_the_library_and_without_the_flag(
    shell, tmp_path, environment, preloaded
):
    (tmp_path / "ending").touch()
    script = spec_of(WHOLE.with_(library="/none/drain.so"))["containers"][0]["command"][2]
    out = shell(script, "printenv", "LD_PRELOAD", **environment)
    assert out == f"{preloaded}\n"
    assert not (tmp_path / "ending").exists(), "a container that restarts does not drain for ever"


def test_the_server_gets_its_arguments_word_for_word(shell):
    script = spec_of(WHOLE)["containers"][0]["command"][2].replace(LIBRARY, "")
    words = ["printf", "%s|", "a b", "$(c)", '"d"', ""]
    assert shell(script, *words) == 'a b|$(c)|"d"||'


def test_the_command_is_that_of_the_server():
    triton = spec_of(WHOLE)["containers"][0]
    assert triton["command"][:2] == ["/bin/sh", "-c"]
    at = triton["args"].index("tritonserver")
    assert triton["args"][at + 1] == "--exit-timeout-secs=20"


def test_pre_stop_raises_the_flag_and_sleeps(shell, tmp_path):
    script = spec_of(WHOLE)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2]
    assert shell(script) == "14\n"
    assert (tmp_path / "ending").exists()


def test_a_flag_that_cannot_be_raised_does_not_shorten_the_sleep(shell, tmp_path):
    script = spec_of(WHOLE)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2]
    (tmp_path / "ending").mkdir()
    assert shell(script) == "14\n"
