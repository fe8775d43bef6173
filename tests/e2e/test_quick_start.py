"""The quick start's commands, copied from its page and typed one after the other."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hack.cluster import binaries
from hack.docs.blocks import blocks
from hack.manifests import ROOT
from tests.e2e import models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

#: What comes before and after is what the cluster's fixtures do, in the words of the page
#: (tests/unit/docs/test_quick_start.py).
SECTIONS = ("Serve a model", "Send it requests", "See what it did, and why")
NAMESPACE = "quick-start"


@pytest.fixture(scope="module")
def typed(ferryman, tmp_path_factory):
    """Return what the page's commands printed; a shell that stops at the first that fails."""
    if not ferryman.kind:
        pytest.skip("the page is about the test cluster, whose nodes have the images")
    folder = tmp_path_factory.mktemp("quick-start")
    # The commands change the namespace of the context.
    kubeconfig = shutil.copy(ferryman.kubeconfig, folder / "kubeconfig")
    yield _type(folder, kubeconfig)
    ferryman.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout_s=180)


def _type(folder, kubeconfig):
    found = blocks(ROOT / "docs/quick-start.md")
    commands = "".join(block.text for block in found if block.section in SECTIONS)
    tools = [Path(sys.executable).parent, binaries.ensure("kubectl")["kubectl"].parent]
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "PATH": os.pathsep.join([*map(str, tools), os.environ["PATH"]]),
        "NO_PROXY": "localhost",
    }
    with (folder / "printed").open("w+") as printed:
        script = [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            f"trap 'kill $(jobs -p) || true' EXIT\n{commands}",
        ]
        where = {"cwd": ROOT, "env": environment, "stdout": printed, "stderr": printed}
        status = subprocess.run(script, check=False, timeout=840, **where).returncode
        printed.seek(0)
        words = printed.read()
    assert status == 0, words
    return words


def test_the_model_serves_and_answers_every_request(ferryman, typed):
    (summary,) = (json.loads(line) for line in typed.splitlines() if line.startswith('{"summary"'))

    assert models.condition(ferryman, "digits", "Ready", NAMESPACE)["status"] == "True"
    assert (summary["failed"], summary["sent"] > 1000) == (0, True)
    assert '"name":"digits"' in typed, "the server's own words"


def test_the_page_shows_what_was_decided_and_why(typed):
    for words in ("NODE TYPE", "TARGET", "Events", "Candidates", "WORKLOAD"):
        assert words in typed, typed
