"""The archive and the manifest for krew: what krew's own validation asks, and faults in words."""

import io
import re
import sys
import tarfile
from hashlib import sha256

import pytest

from hack.krew import __main__ as krew
from hack.krew import launcher
from hack.version import VERSION

HOME = "https://github.com/somebody/ferryman"


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / f"ferryman-{VERSION}-py3-none-any.whl"
    path.write_bytes(b"a wheel")
    return path


@pytest.fixture
def content(wheel):
    return krew.archive(wheel)


def test_the_manifest_keeps_krews_rules(content):
    manifest = krew.manifest(content, HOME)
    spec = manifest["spec"]
    [platform] = spec["platforms"]

    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert manifest["kind"] == "Plugin"
    assert re.fullmatch(r"[\w-]+", manifest["metadata"]["name"])
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert spec["homepage"] == HOME
    assert spec["shortDescription"]
    assert "\n" not in spec["shortDescription"]
    assert platform["uri"] == f"{HOME}/releases/download/v{VERSION}/{krew.NAME}"
    assert re.fullmatch("[0-9a-f]{64}", platform["sha256"])
    assert platform["sha256"] == sha256(content).hexdigest()
    assert all(each["from"] and each["to"] for each in platform["files"])
    [selected] = platform["selector"]["matchExpressions"]
    assert (selected["key"], selected["operator"]) == ("os", "In")


def test_the_archive_has_what_runs_and_the_same_files_make_the_same_archive(wheel, content):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        modes = {entry.name: entry.mode for entry in tar}

    assert modes == {
        "kubectl-ferryman": 0o755,
        "kubectl_complete-ferryman": 0o755,
        wheel.name: 0o644,
        "requirements.lock": 0o644,
        "LICENSE": 0o644,
    }
    assert krew.archive(wheel) == content


def test_the_manifest_runs_what_the_archive_has(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert krew.manifest(content, HOME)["spec"]["platforms"][0]["bin"] in tar.getnames()


def test_an_old_python_is_told_which_one_is_needed(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))

    with pytest.raises(SystemExit, match=r"Python 3\.11 or later is needed"):
        launcher.main()


def test_an_environment_that_cannot_be_made_is_said_with_what_it_takes(
    monkeypatch, tmp_path, wheel
):
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "file").touch()
    monkeypatch.setattr(launcher, "HERE", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    with pytest.raises(SystemExit, match=r"could not be made: .*\nIt takes Python's venv"):
        launcher.main()


def test_another_lock_makes_another_environment(monkeypatch, tmp_path, wheel):
    monkeypatch.setattr(launcher, "HERE", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = set()
    for lock in ("a", "b"):
        (tmp_path / "requirements.lock").write_text(lock)
        found.add(launcher.environment())

    assert len(found) == 2
