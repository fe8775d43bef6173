"""The OCR pipeline on a real Triton: what it reads is what one process reads, and mostly right."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton

from ferryman.cli.main import main
from ferryman.clients import pbtxt
from ferryman.clients.load import characters
from hack.models.ocr import one_process, pages, pipeline
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PAGES = [*pages.pages(3), pages.page(seed=77, lines=6)]
#: What a reader of such pages must reach, on average.
ACCURACY = 0.95


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    pipeline.write(repository)
    with TritonServer(repository, models=[pipeline.NAME]) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.grpc_url) as connection:
        yield connection


def read(client, image):
    page = triton.InferInput("page", list(image.shape), "UINT8")
    answer = client.infer(pipeline.NAME, [page.set_data_from_numpy(image)], client_timeout=60)
    return answer.as_numpy("text")[0].decode(), answer.as_numpy("confidence").item()


def test_pages_are_read_as_in_one_process_and_as_they_were_written(client):
    images = [page.image for page in PAGES]
    found = [read(client, image)[0] for image in images]

    assert found == one_process.texts(images)
    right = [characters.accuracy(page.text, text) for page, text in zip(PAGES, found, strict=True)]
    assert np.mean(right) >= ACCURACY, found


def test_a_bare_page_has_no_text(client):
    assert read(client, np.full((128, 256, 3), 255, np.uint8)) == ("", 0.0)


def test_what_stands_upside_down_is_left_out(client):
    """The classifier is asked beside the recogniser, and its word is heard where they join."""
    upright = pages.page(seed=3).image
    both = np.concatenate([upright, upright[::-1, ::-1]])
    alone, together = read(client, upright)[0], read(client, np.ascontiguousarray(both))[0]

    assert characters.accuracy(alone, together) >= ACCURACY, together


def test_load_sends_pages_and_tells_how_many_characters_are_right(server, tmp_path, capsys):
    np.save(tmp_path / "pages.npy", np.stack([page.image for page in PAGES[:3]]))
    np.save(tmp_path / "texts.npy", np.array([page.text for page in PAGES[:3]]))
    files = (f"page={tmp_path / 'pages.npy'}", f"labels={tmp_path / 'texts.npy'}")
    inputs = [f"--input={file}" for file in files]
    target = (f"--url=grpc://{server.grpc_url}", f"--pipeline={pipeline.NAME}")
    sent = ("--rate=1", "--duration=3", "--arrivals=constant", "--deadline-ms=60000")

    assert main(["load", *target, *sent, *inputs, "--compare=characters"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["ok"], summary["failed"]) == (3, 0)
    assert ACCURACY <= summary["accuracy"] <= 1

    assert main(["load", *target, *sent, "--shape=page=96,64,3"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ok"] == 3


def test_tune_says_which_steps_of_a_pipeline_it_can_tune(server, capsys):
    status = main(["tune", f"--url={server.grpc_url}", f"--model={pipeline.NAME}", "--p99=500ms"])
    said = capsys.readouterr().err
    assert status == 4
    assert "ocr is an ensemble" in said
    assert "recognise cannot be: its max_batch_size is 0" in said


def test_trace_shows_every_step_of_one_request_and_which_were_waited_for(server, capsys):
    target = (pipeline.NAME, f"--url=grpc://{server.grpc_url}", "--shape=page=128,256,3")
    assert main(["trace", *target, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    steps = {step["name"]: step for step in found["steps"]}

    assert (found["requests"], {*steps}) == (
        1,
        {"prepare", "detect", "crop", "classify", "recognise", "join"},
    )
    assert [found["critical"][index] for index in (0, 1, 2, -1)] == [
        "prepare",
        "detect",
        "crop",
        "join",
    ]
    assert steps["classify"]["beginsMilliseconds"] == steps["recognise"]["beginsMilliseconds"]
    last = steps["join"]["beginsMilliseconds"] + steps["join"]["totalMilliseconds"]
    # The account is of the whole request. What is between steps is small beside them; and where
    # processors are wanted by others, a step's own count ends after its answer was handed on.
    assert 0.5 * found["totalMilliseconds"] <= last <= 1.5 * found["totalMilliseconds"]

    assert main(["trace", *target]) == 0
    assert "recognise" in capsys.readouterr().out
    assert main(["trace", "detect", f"--url=grpc://{server.grpc_url}", "--shape=x=1,3,32,32"]) == 1
    assert "detect is no ensemble" in capsys.readouterr().err


def executions(client, step):
    return client.get_inference_statistics(step).model_stats[0].execution_count


def test_a_step_gets_and_gives_back_a_worker_in_place_while_pages_are_read(server, client):
    """What is read meanwhile is what was read before, and the step is not loaded anew."""
    config = pbtxt.from_text(
        (server.model_repository / "recognise" / "config.pbtxt").read_text(encoding="utf-8")
    )
    expected = [read(client, page.image)[0] for page in PAGES]
    before = executions(client, "recognise")
    done = threading.Event()

    def readings():
        found = []
        with triton.InferenceServerClient(server.grpc_url) as own:
            while not done.is_set():
                found.append([read(own, page.image)[0] for page in PAGES])
        return found

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(readings) for _ in range(2)]
        for count in (2, 1):
            config.instance_group[0].count = count
            client.load_model("recognise", config=pbtxt.to_json(config), client_timeout=120)
            assert client.is_model_ready(pipeline.NAME)
        done.set()
        found = [texts for each in reading for texts in each.result()]

    assert len(found) >= 2
    assert all(texts == expected for texts in found)
    assert executions(client, "recognise") >= before + len(found) * len(PAGES)
