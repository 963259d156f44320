"""The GET itself, over aiohttp; imported late, see `web`."""

from collections.abc import Awaitable, Callable

import aiohttp
from yarl import URL

from standfast.adapters.checks.config import HttpCheck

Get = Callable[[HttpCheck], Awaitable[int]]
AGENT = "standfast-agent"


async def get(check: HttpCheck) -> int:
    """The status of the answer, as soon as its head is there.

    Whoever calls limits the time.

    Raises:
        OSError: There was none; why, as a sentence.
    """
    headers = {"User-Agent": AGENT, "Connection": "close"}
    if check.host:
        headers["Host"] = check.host
    connector = aiohttp.TCPConnector(force_close=True, limit=1, use_dns_cache=False)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            ) as session,
            session.get(
                URL(check.url, encoded=True),
                headers=headers,
                allow_redirects=False,
                ssl=check.verify,
                server_hostname=check.host.partition(":")[0] or None if check.is_tls else None,
            ) as answer,
        ):
            return answer.status
    except aiohttp.ClientConnectorCertificateError as error:
        raise OSError(f"the certificate is not valid: {error.certificate_error}") from error
    except aiohttp.ClientConnectorError as error:
        raise error.os_error from error
    except aiohttp.ClientError as error:
        raise OSError(str(error) or type(error).__name__) from error
