"""Which proxy a request to the API server goes through, by the environment.

Requests to Triton go through none, over HTTP or gRPC: a proxy for the way out of a cluster does not
lead to pods, and would be measured with the server.

aiohttp knows no networks in ``NO_PROXY``, and kopf's connection reads no environment at all; but
a cluster's service network is usually excepted as a network. This is one answer for both, and
the one that the official client, which agent and command line use, finds for itself.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy for a URL; None: directly.

    ``HTTPS_PROXY`` or ``HTTP_PROXY`` by the URL's scheme, unless ``NO_PROXY`` excepts the host.
    Names are read in either case; lower case wins.
    """
    target = urlsplit(url)
    proxy = _setting(environment, f"{target.scheme}_proxy")
    if not proxy or _is_direct(target, _setting(environment, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _setting(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _is_direct(target: SplitResult, no_proxy: str) -> bool:
    host = (target.hostname or "").rstrip(".")
    address = _address(host)
    if not host:
        return True
    port = target.port or _DEFAULT_PORTS.get(target.scheme, 0)
    exceptions = (entry.strip().lower() for entry in no_proxy.split(","))
    return any(_excepts(entry, host, address, port) for entry in exceptions if entry)


def _excepts(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
    """Whether one entry of NO_PROXY covers the host: ``*``, network, address, name, or suffix."""
    if entry == "*":
        return True
    if address is not None and "/" in entry:
        return _in_network(address, entry)
    name, at_port = _split_port(entry)
    if at_port not in {None, port}:
        return False
    if address is not None:
        return _address(name) == address
    name = name.lstrip("*").lstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _in_network(address: IPv4Address | IPv6Address, entry: str) -> bool:
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:  # no network: it excepts nothing
        return False


def _split_port(entry: str) -> tuple[str, int | None]:
    """Return name and port of ``name``, ``name:port``, ``[address]:port`` or a bare address."""
    if _address(entry) is not None:
        return entry, None
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit():
        return name.strip("[]"), int(port)
    return entry.strip("[]"), None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
