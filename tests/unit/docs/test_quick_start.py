"""What the end-to-end test of the quick start leaves to its fixtures."""

import re
from pathlib import Path

from hack import installation
from hack.docs.blocks import blocks
from tests.e2e import test_quick_start

ROOT = Path(__file__).parents[3]
BLOCKS = [block for block in blocks(ROOT / "docs/quick-start.md") if block.language == "sh"]


def test_the_page_brings_up_installs_serves_and_removes_in_this_order():
    before = ["Bring up a cluster", "Install Ferryman", "Install Ferryman"]
    sections = [*before, *test_quick_start.SECTIONS, "Remove it"]

    assert [block.section for block in BLOCKS] == sections


def test_the_cluster_comes_up_and_is_installed_on_as_the_fixtures_do_it():
    up, install, *_, remove = (block.text for block in BLOCKS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [name for line in re.findall("make (.*)", up + remove) for name in line.split()]

    assert (
        install.strip()
        == f"helm install {installation.CHART_ARGUMENTS} {installation.LOCAL_VALUES}"
    )
    assert targets == ["venv", "images", "cluster-up", "cluster-down"]
    for target in targets:
        assert f"\n{target}:" in makefile
