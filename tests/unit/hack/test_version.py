"""One version everywhere, and one way of installing: what the pages say is what is done."""

import re
import subprocess
from pathlib import Path

import pytest

import ferryman
from hack import installation, manifests
from hack.images.recipes import GROUPS, RECIPES
from hack.version import VERSION

ROOT = Path(__file__).parents[3]
README, INSTALLATION, QUICK_START = (
    (ROOT / path).read_text(encoding="utf-8")
    for path in ("README.md", "docs/installation.md", "docs/quick-start.md")
)


def test_the_package_has_the_projects_version():
    assert ferryman.__version__ == VERSION


@pytest.mark.parametrize("path", manifests.VERSIONED, ids=str)
def test_a_new_version_is_written_into_what_repeats_it(path, monkeypatch):
    monkeypatch.setattr(manifests, "VERSION", "7.8.9rc1")
    changed = manifests.versioned()[path]

    assert changed == (ROOT / path).read_text("utf-8").replace(VERSION, "7.8.9rc1")
    assert "7.8.9rc1" in changed


def test_nothing_for_users_names_an_image_of_another_version():
    command = ["git", "grep", "-hoE", r"ferryman[.]dev/(ferryman|triton-cpu):[A-Za-z0-9_.-]+", "--"]
    found = subprocess.run(
        [*command, "README.md", "charts", "docs", "examples", "manifests"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    built = {recipe.tag for recipe in RECIPES.values()}
    assert {name.rstrip(".") for name in found.split()} <= built


def test_every_image_is_pushed_but_for_those_of_tests_and_the_demo():
    (pushed,) = re.findall(r"for image in (.*); do", INSTALLATION)
    kept = {*GROUPS["tests"], *GROUPS["demo"]}

    assert {f"ferryman.dev/{name}" for name in pushed.split()} == {
        recipe.tag for name, recipe in RECIPES.items() if name not in kept
    }


def test_pages_install_as_the_demo_and_the_tests_do():
    command = f"helm install {installation.CHART_ARGUMENTS}"

    assert f"{command} {installation.LOCAL_VALUES}" in QUICK_START.splitlines()
    for page in (README, INSTALLATION):
        assert f"{command} --set registry=registry.example/team" in page.splitlines()
