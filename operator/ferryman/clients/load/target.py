"""Where a load generator may aim: at one's own machine and networks, never at the Internet."""

import ipaddress
import socket
from urllib.parse import urlsplit


class TargetRefused(ValueError):  # noqa: N818  the name states the finding
    """The address is no loopback, private or cluster address, or is no address at all."""


def check(url: str) -> str:
    """Return the URL without a trailing slash if load may be sent there.

    Every address that the host's name stands for must be one that is not routed on the
    Internet (loopback, private, link-local, shared, as IANA registers them). Raises
    TargetRefused.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", "grpc"} or not parts.hostname:
        raise TargetRefused(f"{url} is no URL: write for example http://127.0.0.1:8000")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise TargetRefused(f"{parts.hostname} is not known here: {error}") from error
    for *_, address in found:
        if _is_public(str(address[0])):
            raise TargetRefused(
                f"{parts.hostname} is {address[0]}, a public address: load is sent only to "
                "loopback, private and cluster addresses"
            )
    return url.rstrip("/")


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.is_global or ip.is_multicast
