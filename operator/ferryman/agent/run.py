"""Run the agent until it is told to stop, or look once and print."""

import random
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ferryman import json_log
from ferryman.agent import profile
from ferryman.agent.processors import Host, Inventory
from ferryman.agent.publish import LOG, Agent, Settings, observed
from ferryman.clients.cluster import ClusterError, KubernetesCluster, Node

DISCOVER_INTERVAL_S = 1.0


def run(settings: Settings, kubeconfig: str | None = None) -> int:
    """Publish the node's profile until SIGTERM or SIGINT; return the exit status.

    SIGTERM raises KeyboardInterrupt wherever the loop is, in a request too: it ends at once.
    """
    json_log.configure()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        agent = Agent(settings, KubernetesCluster(kubeconfig), rng=random.Random())  # noqa: S311  jitter
        LOG.info("started", extra={"node": settings.node_name})
        while True:
            agent.tick(time.monotonic(), datetime.now(UTC))
            time.sleep(agent.interval_s())
    except ClusterError as error:
        LOG.error("cannot start", extra={"error": str(error)})
        return 1
    except KeyboardInterrupt:
        LOG.info("stopped", extra={"node": settings.node_name})
        return 0


def discover(node: Node, host: Host) -> dict[str, Any]:
    """Return what the agent would publish for such a node, with one second's utilisation."""
    host = replace(
        host, cpu_millicores=node.cpu_millicores, memory_bytes=node.memory_bytes, labels=node.labels
    )
    inventory = Inventory.load(host)
    found = inventory.discover()
    inventory.sample(time.monotonic())
    time.sleep(DISCOVER_INTERVAL_S)
    sample, notes = inventory.sample(time.monotonic())
    return profile.wire(observed(node, found, sample, notes), datetime.now(UTC))
