"""The live cap as the operator uses it, on a real tritonserver: rendered, read back, changed."""

import asyncio
import shutil

import aiohttp
import numpy as np
import pytest

from ferryman.actuation.actuate import Result, actuate
from ferryman.api import names
from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.clients import inference, pbtxt
from ferryman.core.batching.changes import Actuation
from ferryman.core.pods.state import serving_state
from ferryman.core.triton import config as triton_config
from ferryman.core.triton.config import LiveCap
from hack import livecap
from hack.models import sleeper
from tests import factories
from tests.fakes import pod_object
from tests.integration.live_cap import bound_is_read
from tests.integration.test_triton import ARGS, connected
from tests.integration.triton_counters import settled
from tests.integration.tritonserver import TritonServer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(livecap.compiler() is None, reason="there is no C compiler here"),
]

LARGEST = 16
#: Long enough for many requests of a busy sender to arrive while a batch is served.
FIXED_US = 100_000
START = Batching(max_batch_size=4)
MODELS = {"fixed": False, "variable": True}


def burst(bound):
    """Return how many requests make several full batches, and more than Triton's own bound.

    The first is served alone.
    """
    return 1 + max(LARGEST, 4 * bound)


class Pod:
    """A pod with the server in it: its annotation is a file, as the kubelet projects it."""

    def __init__(self, server, bound_file):
        self.server = server
        self.bound_file = bound_file

    def config(self, model, batching, *, capped=True):
        """Return what the operator renders, with the live cap unless told otherwise."""
        cap = LiveCap(LARGEST, str(self.bound_file)) if capped else None
        overlay = pbtxt.decode(sleeper.config(fixed_us=FIXED_US, variable=MODELS[model]))
        for ours in ("backend", "name", "instance_group"):
            overlay.pop(ours, None)
        source = factories.source(model_format="python", config=overlay)
        entry = factories.runtime_processor(backends={"python": "python"})
        return pbtxt.encode(triton_config.model_config(model, entry, source, batching, cap))

    def annotate(self, bound):
        """Replace the file as a whole; None: the annotation is absent, and the file empty."""
        scratch = self.bound_file.with_suffix(".new")
        scratch.write_text("" if bound is None else str(bound))
        scratch.replace(self.bound_file)

    async def view(self, client, bound=None):
        """Return how a decision sees the pod."""
        manifest = pod_object("p", live_cap=True)
        if bound is not None:
            manifest["metadata"]["annotations"] = {names.ANNOTATION_MAX_BATCH_SIZE: str(bound)}
        return serving_state(None, [manifest], {"p": await client.model()}).pods[0]

    async def largest_batch(self, client, model, bound):
        """Send a burst for this bound at once; return the largest batch that was executed."""
        before = (await settled(client)).batches
        request = inference.build({"input": np.ones((1, 1), np.float32)}, [], None)
        url = f"http://{self.server.http_url}/v2/models/{model}/infer"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

            async def one():
                async with http.post(url, data=request.body, headers=request.headers) as answer:
                    assert answer.status == 200, await answer.read()

            await asyncio.gather(*(one() for _ in range(burst(bound))))
        after = (await settled(client)).batches
        return max(size for size, seen in after.items() if seen != before.get(size))


@pytest.fixture(scope="module")
def pod(tmp_path_factory):
    repository, folder = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("live-cap")
    library = livecap.build(tmp_path_factory.mktemp("library"))
    with pytest.MonkeyPatch.context() as patch:
        # A file of Ferryman's is known by its folder.
        patch.setattr(names, "PATH_LIVE_CAP", str(folder))
        served = Pod(None, folder / "max-batch-size")
        for model in MODELS:
            sleeper.write(repository / model, served.config(model, START))
            shutil.copyfile(library, repository / model / names.STRATEGY_LIBRARY)
        with TritonServer(repository, args=ARGS, models=list(MODELS)) as running:
            served.server = running
            yield served


@pytest.fixture(autouse=True)
def _no_annotation(pod):
    pod.annotate(None)


@pytest.mark.parametrize("model", MODELS)
async def test_a_pod_starts_with_the_bound_of_its_config_map(pod, model):
    async with connected(pod.server, model) as client:
        await client.apply_batching(START, config_pbtxt=pod.config(model, START))
        found = await client.model()
        assert (found.batching, found.largest_batch_size) == (START, LARGEST)
        assert found.variable_inputs == MODELS[model]
        assert await pod.largest_batch(client, model, 4) == START.max_batch_size


@pytest.mark.parametrize("model", MODELS)
async def test_the_annotation_changes_the_bound_and_reloads_nothing(pod, model):
    bounds = (8, 2, LARGEST, 1)
    async with connected(pod.server, model) as client:
        await client.apply_batching(START, config_pbtxt=pod.config(model, START))
        await pod.largest_batch(client, model, 4)
        before = await client.statistics()
        for bound in bounds:
            pod.annotate(bound)
            await bound_is_read(pod.server, model, bound)
            assert await pod.largest_batch(client, model, bound) == bound
            view = await pod.view(client, bound)
            assert view.batching == Batching(max_batch_size=bound)
        after = await client.statistics()
    assert after.success_count == before.success_count + sum(map(burst, bounds))
    assert after.failure_count == before.failure_count


async def test_instances_change_in_place_under_a_cap_that_is_not_the_start(pod):
    model, two = "fixed", Batching(max_batch_size=8, instances=2)
    config = pod.config(model, two)
    async with connected(pod.server, model) as client:
        await client.apply_batching(START, config_pbtxt=pod.config(model, START))
        pod.annotate(8)
        await bound_is_read(pod.server, model, 8)
        assert await pod.largest_batch(client, model, 8) == 8
        before = await client.statistics()
        view = await pod.view(client, 8)
        eight = view.batching
        change = Actuation(eight, two, "InPlace", Reason.CHEAPER, "why", (view,), config, True)  # noqa: FBT003
        assert await actuate(change, lambda _: client) == Result("Applied")
        assert (await pod.view(client, 8)).batching == two
        after = await client.statistics()
        assert after.success_count == before.success_count > 0, "a reload would set it back"
        assert await pod.largest_batch(client, model, 8) == 8


async def test_a_reload_moves_the_start_and_leaves_tritons_own_bound(pod):
    model = "variable"
    wanted = Batching(max_batch_size=6, max_queue_delay_microseconds=40_000)
    async with connected(pod.server, model) as client:
        await client.apply_batching(START, config_pbtxt=pod.config(model, START))
        await client.apply_batching(wanted, config_pbtxt=pod.config(model, wanted))
        found = await client.model()
        assert (found.batching, found.largest_batch_size) == (wanted, LARGEST)
        assert await pod.largest_batch(client, model, 6) == 6
        # Without the file, as when a change is put back: from what is live.
        await client.apply_batching(START)
        found = await client.model()
        assert (found.batching, found.largest_batch_size) == (START, LARGEST)
        assert await pod.largest_batch(client, model, 4) == START.max_batch_size


async def test_a_configuration_without_a_live_cap_is_bound_by_triton_alone(pod):
    """Although the library lies in the model's folder and the annotation says otherwise."""
    model, plain = "fixed", Batching(max_batch_size=6, max_queue_delay_microseconds=500)
    async with connected(pod.server, model) as client:
        pod.annotate(2)
        await client.apply_batching(plain, config_pbtxt=pod.config(model, plain, capped=False))
        view = await pod.view(client, 2)
        assert (view.batching, view.live_cap) == (plain, None)
        assert await pod.largest_batch(client, model, 6) == 6
        await client.apply_batching(START, config_pbtxt=pod.config(model, START))
        view = await pod.view(client, 2)
        assert (view.batching.max_batch_size, view.live_cap.loaded) == (2, START)
        assert await pod.largest_batch(client, model, 2) == 2
