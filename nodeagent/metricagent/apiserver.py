"""The API server, asked with the agent's own token: its keys, and who may do what."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from metricagent.reasons import why
from metricagent.settings import KubernetesSettings
from metricwire.errors import SettingsError
from metricwire.serviceaccounts import NotAnswered

PATIENCE = aiohttp.ClientTimeout(total=5)
ANSWER_MAX = 1024**2  # bytes of an answer that is read


class ApiServer:
    """See metricwire.serviceaccounts. The token is read for each question: Kubernetes renews it."""

    def __init__(self, settings: KubernetesSettings, session: aiohttp.ClientSession) -> None:
        self._settings, self._session = settings, session

    async def ask(self, path: str, document: dict[str, Any] | None = None) -> Any:
        """The JSON it answers to a GET, or to a POST of the document; NotAnswered otherwise."""
        url = self._settings.url + path
        try:
            headers = {"Authorization": f"Bearer {_token(self._settings.token_file)}"}
            method = "GET" if document is None else "POST"
            async with self._session.request(
                method, url, json=document, headers=headers, timeout=PATIENCE, allow_redirects=False
            ) as answer:
                if answer.status not in (200, 201):
                    raise NotAnswered(f"cannot ask {url}: it answers {answer.status}", answer.status)
                return json.loads(await _limited(answer.content))
        except (OSError, aiohttp.ClientError) as error:  # TimeoutError is an OSError
            raise NotAnswered(f"cannot ask {url}: {why(error)}") from error
        except ValueError:  # its text may show the token
            raise NotAnswered(f"cannot ask {url}: the answer is no JSON, or ours no token") from None


def _token(file: str) -> str:
    return Path(file).read_text(encoding="ascii").strip()


async def _limited(content: aiohttp.StreamReader) -> bytes:
    """All of it, or so much that it is no JSON."""
    body = bytearray()
    async for piece in content.iter_chunked(65536):
        body += piece
        if len(body) > ANSWER_MAX:
            break
    return bytes(body)


@asynccontextmanager
async def connected(settings: KubernetesSettings) -> AsyncIterator[ApiServer]:
    """The API server, for as long as the agent runs. SettingsError when its certificates cannot be checked."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"cannot use api.kubernetes.ca-file {settings.ca_file}: {why(error)}") from error
    # Since 3.13 Python asks of an authority's certificate what many clusters' own lack (kubernetes-client/python#2394).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    connector = aiohttp.TCPConnector(ssl=context, limit=8)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield ApiServer(settings, session)
