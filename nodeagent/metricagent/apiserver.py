"""The API server, asked with the agent's own token: its keys, and who may do what."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from metricagent import body, tlsfiles, tokenfile
from metricagent.reasons import why
from metricagent.settings import KubernetesSettings
from metricwire.apiserver import NotAnswered
from metricwire.errors import SettingsError

PATIENCE = aiohttp.ClientTimeout(total=5)
ANSWER_MAX = 1024**2  # bytes of an answer that is read


class ApiServer:
    """See metricwire.apiserver. The token is read for each question: Kubernetes renews it."""

    def __init__(self, settings: KubernetesSettings, session: aiohttp.ClientSession) -> None:
        self._settings, self._session = settings, session

    async def ask(self, path: str, document: dict[str, Any] | None = None) -> Any:
        """The JSON it answers to a GET, or to a POST of the document; NotAnswered otherwise."""
        url = self._settings.url + path
        try:
            headers = {"Authorization": f"Bearer {tokenfile.read(Path(self._settings.token_file))}"}
            method = "GET" if document is None else "POST"
            async with self._session.request(
                method, url, json=document, headers=headers, timeout=PATIENCE, allow_redirects=False
            ) as answer:
                if answer.status not in (200, 201):
                    raise NotAnswered(f"cannot ask {url}: it answers {answer.status}", answer.status)
                return json.loads(await body.read(answer.content, ANSWER_MAX))
        except tokenfile.NoToken as error:
            raise NotAnswered(f"cannot ask {url}: {error}") from error
        except (OSError, aiohttp.ClientError) as error:  # TimeoutError is an OSError
            raise NotAnswered(f"cannot ask {url}: {why(error)}") from error
        except ValueError as error:
            raise NotAnswered(f"cannot ask {url}: it answers what is no JSON") from error


@asynccontextmanager
async def connected(settings: KubernetesSettings) -> AsyncIterator[ApiServer]:
    """The API server, for as long as the agent runs. SettingsError when its certificates cannot be checked."""
    try:
        context = tlsfiles.trusting(settings.ca_file or None)
    except OSError as error:  # SSLError is one
        raise SettingsError(f"cannot use api.kubernetes.ca-file {settings.ca_file}: {why(error)}") from error
    connector = aiohttp.TCPConnector(ssl=context, limit=8)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield ApiServer(settings, session)
