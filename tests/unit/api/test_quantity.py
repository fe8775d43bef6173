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


@pytest.mark.parametrize(
    ("text", "units"),
    [
        pytest.param("15961844721600m", 15_961_844_722, id="memory in thousandths of a byte"),
        pytest.param("2.5e+3", 2500, id="an exponent with its sign"),
        pytest.param("12E6", 12_000_000, id="a capital exponent, which is no exa"),
        pytest.param("1.5e3m", 2, id="an exponent and a suffix"),
        pytest.param("7.8", 8, id="a part of a unit"),
        pytest.param(".5", 1, id="without a digit before the point"),
        pytest.param("1.", 1, id="without one after it"),
        pytest.param("16393244Ki", 16_786_681_856, id="as a node's status has it"),
    ],
)
def test_quantities_as_other_tools_write_them(text, units):
    """By the grammar of k8s.io/apimachinery: digits, with a point before, among or after them."""
    assert quantity.to_units(text) == units


@pytest.mark.parametrize(
    "text", [".", "+.", "", "Gi", "1 Gi", "1gi", "abc", "1.2.3", "NaN", "\uff11"]
)
def test_what_is_no_quantity_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write for example 500m, 2 or 4Gi"):
        quantity.parse(text)
