"""``ferryman operator``: what its arguments and its environment come to."""

import pytest

from ferryman.cli import main
from ferryman.handlers import app


@pytest.fixture
def told(monkeypatch):
    """Return what the operator would be run with."""
    found = []

    async def run(options):
        found.append(options)

    monkeypatch.setattr(app, "run", run)
    monkeypatch.delenv("POD_IP", raising=False)
    return found


@pytest.mark.parametrize(
    ("address", "ipv6"),
    [
        pytest.param("10.244.0.7", False, id="IPv4"),
        pytest.param("fd00:10:244::7", True, id="IPv6"),
        pytest.param("", False, id="none is known, as outside of pods"),
    ],
)
def test_the_family_is_that_of_the_operators_own_address(told, monkeypatch, address, ipv6):
    monkeypatch.setenv("POD_IP", address)
    assert main.main(["operator"]) == 0
    assert told[0].scope.ipv6 is ipv6


def test_the_argument_comes_before_the_environment(told, monkeypatch):
    monkeypatch.setenv("POD_IP", "10.244.0.7")
    assert main.main(["operator", "--pod-ip", "fd00::7"]) == 0
    assert told[0].scope.ipv6


def test_what_is_no_address_is_refused(told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main.main(["operator", "--pod-ip", "somewhere"])
    assert "'somewhere' is no IP address" in capsys.readouterr().err
    assert not told
