"""What a cache keeps, and what goes first."""

import pytest

from ferryman.core.fetching.cache import Entry, entry_name, evicted, is_abandoned, is_entry

HELD = (Entry("a", 40, used_s=30.0), Entry("b", 30, used_s=10.0), Entry("c", 20, used_s=20.0))


@pytest.mark.parametrize(
    ("needed", "limit", "free", "gone"),
    [
        pytest.param(10, 100, 1000, (), id="there is room"),
        pytest.param(11, 100, 1000, ("b",), id="the least recently used goes"),
        pytest.param(60, 100, 1000, ("b", "c"), id="and the next"),
        pytest.param(100, 100, 1000, ("b", "c", "a"), id="all of them"),
        pytest.param(101, 100, 1000, None, id="more than the limit: none"),
        pytest.param(10, 100, 5, ("b",), id="the file system is smaller than the limit"),
        pytest.param(10, 1000, 5, ("b",), id="and would be full"),
        pytest.param(200, 1000, 5, None, id="and too small whatever goes"),
    ],
)
def test_what_goes(needed, limit, free, gone):
    assert evicted(HELD, needed, limit_bytes=limit, free_bytes=free) == gone


def test_an_empty_cache_keeps_what_fits():
    assert evicted((), 10, limit_bytes=10, free_bytes=10) == ()
    assert evicted((), 11, limit_bytes=10, free_bytes=100) is None


def test_entries_are_known_by_their_digests():
    assert is_entry(entry_name("a" * 64))
    assert not is_entry(entry_name("A" * 64))
    assert not is_entry("lost+found")


@pytest.mark.parametrize(
    ("name", "age_s", "abandoned"),
    [
        pytest.param(".new-x", 3 * 86_400, True, id="begun long ago"),
        pytest.param(".gone-x", 3 * 86_400, True, id="half removed"),
        pytest.param(".new-x", 86_400, False, id="may still be fetched"),
        pytest.param(".snapshot", 3 * 86_400, False, id="not ours"),
        pytest.param(entry_name("a" * 64), 3 * 86_400, False, id="an entry"),
    ],
)
def test_what_was_left_behind(name, age_s, abandoned):
    assert is_abandoned(name, 1000.0, 1000.0 + age_s) is abandoned
