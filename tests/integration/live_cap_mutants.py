"""The harness of the live cap notices a library that counts wrongly: run by make test-live-cap."""

import shutil
import subprocess

import pytest

from hack import livecap

HARNESS_TIMEOUT_S = 150
FOUND = {1, 2, 3}  # a batch over the bound, a stall, an uncountable mode not refused
#: Ways to break the counting, each of which the harness must notice.
MUTANTS = {
    "requests of earlier rounds forgotten": ("b->handed_over = b->tells = true", "b->tells = true"),
    "requests seen twice counted twice": ("if (b->handed_over) b->taken", "b->taken"),
    "a new payload taken for a full one": ("        b->taken = 0;\n", ""),
    "every request counted as one row": ("return n > 0 && shape[0] > 1 ?", "return n > 9 ?"),
    "a request above the bound refused for ever": ("before == 0 || ", ""),
    "uncountable models capped": ("b->unable = true;", ""),
}

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.mark.parametrize("fault", MUTANTS)
def test_the_harness_notices_a_library_that_counts_wrongly(fault, tmp_path, monkeypatch):
    shutil.copytree(livecap.SOURCES, tmp_path / "livecap")
    source = tmp_path / "livecap" / "livecap.c"
    right, wrong = MUTANTS[fault]
    assert source.read_text().count(right) == 1
    source.write_text(source.read_text().replace(right, wrong))
    monkeypatch.setattr(livecap, "SOURCES", source.parent)
    harness = livecap.build_harness(tmp_path, "undefined")
    done = subprocess.run(
        [harness, tmp_path], capture_output=True, text=True, timeout=HARNESS_TIMEOUT_S, check=False
    )
    print(done.stdout, done.stderr[-500:])
    assert done.returncode in FOUND
