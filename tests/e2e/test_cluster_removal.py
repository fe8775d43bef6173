"""Removing the cluster, after all that ran on it, leaves the machine as it was."""

from dataclasses import fields

import pytest

from hack.cluster import daemon, lifecycle
from tests.e2e.traces import Traces

pytestmark = [pytest.mark.lifecycle, pytest.mark.timeout(600)]


def test_down_leaves_the_machine_as_it_was(before, cluster):
    if cluster.docker_host != daemon.ADDRESS:
        pytest.skip("an engine of another's stays, and so does what its nodes' kubelets have set")
    lifecycle.down()
    after = Traces.now()

    for field in fields(Traces):
        left = getattr(after, field.name) ^ getattr(before, field.name)
        assert not left, f"{field.name} differ"
