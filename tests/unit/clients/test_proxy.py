import asyncio

import pytest
from kubernetes.client.rest import should_bypass_proxies
from kubernetes_asyncio.client import Configuration

from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.clients.kubernetes_transport import Request, Transport, proxy_of
from ferryman.clients.proxy import proxy_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        pytest.param("10.96.0.0/12", "10.96.0.1", id="a network that holds the address"),
        pytest.param("fd00:10:96::/112", "[fd00:10:96::1]", id="an IPv6 network"),
        pytest.param("10.96.0.1", "10.96.0.1", id="the address"),
        pytest.param("fd00:10:96::1", "[fd00:10:96:0::1]", id="an IPv6 address in another form"),
        pytest.param(".svc,.cluster.local", "kubernetes.default.svc", id="a suffix"),
        pytest.param("*.cluster.local", "a.svc.cluster.local", id="a suffix with a star"),
        pytest.param("example.org", "API.Example.org", id="a domain, in any case"),
        pytest.param(".example.org", "example.org", id="a suffix, and the domain itself"),
        pytest.param("example.org:6443", "example.org:6443", id="a name with its port"),
        pytest.param("[fd00::1]:6443", "[fd00::1]:6443", id="an IPv6 address with its port"),
        pytest.param(" a.example , 10.0.0.0/8 ", "10.1.2.3", id="spaces around entries"),
        pytest.param("*", "api.example", id="everything"),
    ],
)
def test_an_excepted_host_is_asked_directly(no_proxy, host):
    environment = {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}
    assert proxy_for(f"https://{host}", environment) is None


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        pytest.param("", "10.96.0.1", id="nothing is excepted"),
        pytest.param("10.0.0.0/16", "10.96.0.1", id="a network that does not hold the address"),
        pytest.param("10.96.0.0/12", "kubernetes.default.svc", id="a network, and a name"),
        pytest.param("fd00::/8", "10.96.0.1", id="a network of the other family"),
        pytest.param("ple.org", "example.org", id="the end of a name is no suffix of labels"),
        pytest.param("example.org:443", "example.org:6443", id="another port"),
        pytest.param("10.0.0.0/99, ,/,:", "10.96.0.1", id="entries that mean nothing"),
    ],
)
def test_any_other_host_is_asked_through_the_proxy(no_proxy, host):
    environment = {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}
    assert proxy_for(f"https://{host}", environment) == PROXY


def test_the_scheme_decides_which_proxy():
    environment = {"HTTP_PROXY": "http://plain:1", "HTTPS_PROXY": "http://secure:2"}
    assert proxy_for("http://a.example", environment) == "http://plain:1"
    assert proxy_for("https://a.example", environment) == "http://secure:2"


def test_lower_case_wins_and_a_scheme_is_added():
    environment = {"HTTPS_PROXY": "http://upper:1", "https_proxy": "lower:2"}
    assert proxy_for("https://a.example", environment) == "http://lower:2"


@pytest.mark.parametrize("url", ["", "https://"])
def test_no_host_has_no_proxy(url):
    assert proxy_for(url, {"HTTPS_PROXY": PROXY}) is None


@pytest.mark.parametrize("host", ["10.96.0.1", "api.example.org:6443", "example.org"])
@pytest.mark.parametrize(
    "no_proxy", ["", "*", "10.0.0.0/8", "10.96.0.1", ".example.org", "example.org:6443", "x.org"]
)
def test_operator_agent_and_command_line_go_the_same_way(host, no_proxy):
    """The official client finds its own proxy; the oracle is its function."""
    url = f"https://{host}"
    ours = proxy_for(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert (ours is None) == should_bypass_proxies(url, no_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "way"), [("127.0.0.0/8", "directly"), ("10.0.0.0/8", "through the proxy")]
)
async def test_requests_go_the_way_that_was_found(monkeypatch, no_proxy, way):
    """Both ends are stand-ins on loopback that note who asked, and hang up."""
    asked = []

    def stand_in(name):
        async def answer(reader, writer):
            await reader.read(1)
            asked.append(name)
            writer.close()

        return asyncio.start_server(answer, "127.0.0.1", 0)

    async with await stand_in("through the proxy") as proxy, await stand_in("directly") as api:
        proxy_port, api_port = (s.sockets[0].getsockname()[1] for s in (proxy, api))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy_port}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        configuration = Configuration()
        configuration.host = f"https://127.0.0.1:{api_port}"
        async with Transport(configuration, backoff_s=()) as transport:
            with pytest.raises(TemporaryError):
                await transport.send(Request("GET", "/version", "version"))
    assert set(asked) == {way}


def test_a_kubeconfigs_own_proxy_wins(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://other:1")
    configuration = Configuration()
    configuration.host, configuration.proxy = "https://api.example", PROXY
    assert proxy_of(configuration) == PROXY
