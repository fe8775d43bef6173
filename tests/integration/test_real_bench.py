"""One very short scenario of the benchmark on a real Triton, end to end."""

import asyncio
import json

import pytest

from benchmarks import servers
from benchmarks.real import drive, models, noise, plan, run
from ferryman.api.batching import Batching
from ferryman.clients import load_inputs
from ferryman.clients.load import generator as load
from ferryman.clients.triton import ConfigRefused
from hack.models import sleeper
from tests.integration.triton_counters import settled
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

#: A batch of 1 takes 20 ms, and of 8 27 ms: 100 requests/s need a bound of 3 at least.
SCENARIO = """\
serviceTime: {knots: [{batchSize: 1, milliseconds: 20}, {batchSize: 8, milliseconds: 27}]}
arrivals: {poisson: {ratePerSecond: 100}}
objectives: {latency: {targetMilliseconds: 150}}
batching:
  initial: {maxBatchSize: 1}
  limits: {maxBatchSize: {max: 8}, maxQueueDelayMicroseconds: {max: 0}, instances: {max: 1}}
  window: {minSeconds: 1, maxSeconds: 2}
windows: 3
windowSeconds: 2
"""


def test_a_scenario_is_run_and_told_end_to_end(tmp_path, monkeypatch, capsys):
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "tiny.yaml").write_text(SCENARIO)
    monkeypatch.setattr(plan, "SCENARIOS", tmp_path / "scenarios")
    # Measured as any run is, with a scenario of its own.
    monkeypatch.setattr(noise, "measure", lambda _: {"p50Ms": 1.0, "p99Ms": 2.0})
    # On a busy machine the load would begin too late for the session.
    monkeypatch.setattr(drive, "LEAD_S", 5.0)
    asked = ["--only", "tiny", "--contenders", "least-squares", "--seeds", "1"]
    assert run.main([*asked, "--out", str(tmp_path / "results")]) == 0
    assert "### tiny, on a real Triton" in capsys.readouterr().out

    folder = tmp_path / "results" / "tiny"
    best = json.loads((folder / "oracle-0.json").read_text())
    tuned = json.loads((folder / "least-squares-0.json").read_text())
    assert best["byActuator"] == {}
    assert best["final"]["maxBatchSize"] >= 3
    assert tuned["offered"] == best["offered"] > 450, "under the same arrivals"
    assert tuned["windows"] >= 1
    for found in (best, tuned):
        assert 0 < found["busy"] < 10
        assert len(found["series"]) == 3
        assert found["failures"].keys() <= {"deadline"}


def test_the_sleeper_takes_the_time_of_its_curve_and_no_bound_beyond_it(tmp_path):
    text = sleeper.config(curve_us=[5_000, 300_000, 900_000], max_batch_size=2)
    sleeper.write(tmp_path / models.SLEEPER, text)
    with TritonServer(tmp_path, args=models.ARGS, models=[models.SLEEPER]) as server:
        asyncio.run(_check(server))


async def _check(server):
    url = f"http://{server.http_url}"
    signature = await load.signature_of(url, models.SLEEPER)
    async with servers.connected(server, models.SLEEPER) as client:
        for size in (1, 2):
            [request, *_] = load_inputs.random_requests(signature, size, 0)
            settings = load.LoadSettings(10, 0.3, arrivals="constant")
            result = await load.run(url, models.SLEEPER, [request], settings)
            assert result.summary.figures.failed == 0
        batches = (await settled(client)).batches
        means_ms = {size: total / count / 1e6 for size, (count, total) in batches.items()}
        assert 5 <= means_ms[1] < 300 <= means_ms[2] < 900
        with pytest.raises(ConfigRefused, match="ends at a batch of 3"):
            await client.apply_batching(Batching(max_batch_size=4))
