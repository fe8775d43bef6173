"""Krew itself installs the archive, and it runs where there is nothing but Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hack.cluster import binaries
from hack.images.wheels import wheelhouse
from hack.krew import __main__ as krew

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

TIMEOUT_S = 1200


def run(*command, **environment):
    return subprocess.run(
        command,
        capture_output=True,
        check=False,
        env=environment,
        text=True,
        timeout=TIMEOUT_S,
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Return an environment with Python, the programs of a shell, and an index of wheels."""
    home, python = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("python")
    (python / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3.11")
    return {
        "HOME": str(home),
        "PATH": f"{python}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheelhouse(krew.LOCK)),
    }


@pytest.fixture(scope="module")
def plugins(bare):
    """Have krew install what ``make krew`` writes; return the folder of its commands."""
    made = run(sys.executable, "-m", "hack.krew", **{**os.environ, "PYTHONPATH": str(krew.ROOT)})
    assert made.returncode == 0, made.stderr
    program = str(binaries.ensure("krew")["krew"])
    installed = run(
        program,
        "install",
        f"--manifest={krew.FOLDER / 'ferryman.yaml'}",
        f"--archive={krew.FOLDER / krew.NAME}",
        **bare,
    )
    assert installed.returncode == 0, installed.stderr
    return Path(bare["HOME"]) / ".krew" / "bin"


def test_what_krew_installed_runs_with_nothing_but_python(plugins, bare):
    helped = run(str(plugins / "kubectl-ferryman"), "--help", **bare)

    assert helped.returncode == 0, helped.stderr
    assert "fetching what Ferryman needs" in helped.stderr
    assert "explain" in helped.stdout


def test_the_second_call_fetches_nothing(plugins, bare):
    offline = {**bare, "PIP_FIND_LINKS": "/nowhere"}
    again = run(str(plugins / "kubectl-ferryman"), "top", "--help", **offline)

    assert (again.returncode, again.stderr) == (0, "")
    assert "Ctrl-C" in again.stdout


def test_kubectl_completes_by_what_lies_beside_it(plugins, bare):
    command = (plugins / "kubectl-ferryman").resolve().with_name("kubectl_complete-ferryman")
    completed = run(str(command), "hist", **bare)

    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith("history")
