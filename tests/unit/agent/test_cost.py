"""What the agent takes of a node: measured in its own process, in CPU time, not in wall time."""

import json
import subprocess
import sys

MAX_RSS_MIB = 80
MAX_CPU_SHARE = 0.01
SAMPLE_INTERVAL_S = 5.0
PROGRAM = """
import json, random, time
from datetime import UTC, datetime
from pathlib import Path
from kubernetes import client
from ferryman.clients.cluster import Node
from ferryman.agent.publish import Agent, Settings

class Cluster:
    def node(self, name): return Node(name, "u", "amd64", 2000, 2**32)
    def apply_profile(self, node): client.ApiClient
    def apply_status(self, name, status): json.dumps(status)

agent = Agent(Settings("n"), Cluster(), rng=random.Random(1))
agent.tick(0.0, datetime.now(UTC))
before_s = time.process_time()
for tick in range(1, 121):
    agent.tick(tick * 5.0, datetime.now(UTC))
cpu_s = time.process_time() - before_s
rss_kib = Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]
print(json.dumps([cpu_s / 120, int(rss_kib) / 1024]))
"""


def test_ten_minutes_of_the_agent_take_little_cpu_and_memory():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=120
    )
    cpu_s, rss_mib = json.loads(ran.stdout)
    print(f"{cpu_s * 1e3:.2f} ms of CPU a tick, {rss_mib:.0f} MiB")
    assert cpu_s / SAMPLE_INTERVAL_S <= MAX_CPU_SHARE
    assert rss_mib <= MAX_RSS_MIB
