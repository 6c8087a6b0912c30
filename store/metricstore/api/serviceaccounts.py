"""The API server, asked with the store's own token: its keys, and who may do what."""

import asyncio
import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from metricstore.settings import Kubernetes
from metricwire.apiserver import NotAnswered
from metricwire.trust import as_others_check

PATIENCE = 5  # seconds for an answer
ANSWER_MAX = 1024**2  # bytes of an answer that is read


class ApiServer:
    """See metricwire.apiserver. Each question in a thread, with the token as the file has it now.

    Neither a redirect nor a proxy of the environment gets that token to see.
    """

    def __init__(self, settings: Kubernetes) -> None:
        self._settings = settings

    async def ask(self, path: str, document: dict[str, Any] | None = None) -> Any:
        """The JSON it answers to a GET, or to a POST of the document; NotAnswered otherwise."""
        try:
            return await asyncio.to_thread(self._ask, path, document)
        except urllib.error.HTTPError as error:
            error.close()
            raise NotAnswered(f"cannot ask {self._settings.url}{path}: it answers {error.code}", error.code) from error
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswered(f"cannot ask {self._settings.url}{path}: {error}") from error
        except ValueError:  # its text may show the token
            raise NotAnswered(f"cannot ask {self._settings.url}{path}: the answer is no JSON, or ours no token") from None

    def _ask(self, path: str, document: dict[str, Any] | None) -> Any:
        token = Path(self._settings.token_file).read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self._settings.url + path, body, headers)  # noqa: S310 - the API server's URL
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirect()]
        if self._settings.url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=self._context()))
        with urllib.request.build_opener(*handlers).open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read(ANSWER_MAX))

    def _context(self) -> ssl.SSLContext:
        return as_others_check(ssl.create_default_context(cafile=self._settings.ca_file))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The answer 3xx is an error like others."""

    def redirect_request(self, *_: Any) -> None:
        return None
