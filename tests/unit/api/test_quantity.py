import pytest

from ferryman.api import quantity


@pytest.mark.parametrize(
    ("text", "millicores"),
    [("500m", 500), ("2", 2000), (2, 2000), ("0.0001", 1), ("1e1", 10_000), ("1k", 1_000_000)],
)
def test_cpu_is_read_in_millicores_and_rounded_up(text, millicores):
    assert quantity.to_millicores(text) == millicores


@pytest.mark.parametrize(
    ("text", "units"),
    [("1Ki", 1024), ("1.5Gi", 3 * 2**29), ("1G", 10**9), ("1m", 1), ("0", 0), ("1E", 10**18)],
)
def test_memory_is_read_in_bytes_and_rounded_up(text, units):
    assert quantity.to_units(text) == units


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "abc", "1.2.3", "NaN", "\uff11"])
def test_what_is_no_quantity_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write for example 500m, 2 or 4Gi"):
        quantity.parse(text)
