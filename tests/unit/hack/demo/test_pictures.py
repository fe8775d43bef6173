"""The pictures are made of the story: they show its values, and the same story the same way."""

import re
from dataclasses import replace

import pytest

from hack.demo import pictures
from tests.unit.hack.demo.stories import TARGET_MS, rescued, spared, staffed

DRAWN = {
    "rescue": lambda path: pictures.rescue(rescued(), TARGET_MS, path),
    "economy": lambda path: pictures.economy(spared(), TARGET_MS, path),
    "workers": lambda path: pictures.workers(staffed(), path),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_one_story_is_drawn_to_the_same_byte_each_time(draw, tmp_path):
    first, again = draw(tmp_path / "first.svg"), draw(tmp_path / "again.svg")
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        ("rescue", {"2 → 16", "300 ms", "asked"}),
        ("economy", {"50 %", "20 %", "before", "after"}),
        ("workers", {"recognise", "asked"}),
    ],
)
def test_what_changed_is_written_beside_it(draw, words, tmp_path):
    found = DRAWN[draw](tmp_path / "drawn.svg").read_text(encoding="utf-8")
    written = {word.strip() for word in re.findall(r"<!-- (.*?) -->", found)}
    assert words <= written, written


def test_steps_that_keep_their_one_worker_are_not_named(tmp_path):
    found = DRAWN["workers"](tmp_path / "drawn.svg").read_text(encoding="utf-8")
    assert "<!--  join -->" not in found


def test_another_story_is_another_picture(tmp_path):
    one = DRAWN["rescue"](tmp_path / "one.svg").read_bytes()
    other = pictures.rescue(replace(rescued(), changes=()), TARGET_MS, tmp_path / "other.svg")
    assert other.read_bytes() != one
