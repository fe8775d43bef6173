"""kopf's connection to the API server, through which no object comes that is too large.

kopf parses whatever a watch sends, and an object that is nested a thousand times ends its session,
and the next, for all tenants. So it is given an aiohttp session of ours, whose responses have
passed a guard (``clients.bounded``).
"""

import aiohttp
import kopf

from ferryman.clients.bounded.answers import response_class
from ferryman.clients.bounded.objects import Guard
from ferryman.clients.kubernetes_transport import Configuration, proxy_of


async def credentials(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return kubernetes_asyncio's credentials in kopf's form."""
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host or "",
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=proxy_of(configuration),
    )


async def connection(configuration: Configuration, guard: Guard) -> kopf.AiohttpSession:
    """Return a session as kopf would make it, but for what its responses give. kopf closes it."""
    found = await credentials(configuration)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        response_class=response_class(guard),
    )
    return kopf.AiohttpSession(server=found.server, aiohttp_session=session)
