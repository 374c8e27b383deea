"""The few questions `sampan` asks its apiserver, over the standard library's HTTP.

Not `client.http`: a command that is to be done in four seconds does not spend half a one on importing an
asyncio client while the daemons compete for the processor.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from client.kubeconfig import RestConfig

Obj = dict[str, Any]


class ApiServer:
    """One apiserver, as the administrator. Every failure is an OSError or an http.client.HTTPException."""

    def __init__(self, config: RestConfig) -> None:
        parts = urlsplit(config.server)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 443)
        self._tls = config.ssl_context() or ssl.create_default_context()

    def readiness(self) -> str:
        """ "" when it is ready, else why not."""
        try:
            status, answer = self._get("/readyz?verbose")
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        return "" if status == 200 else answer.decode(errors="replace").strip() or f"/readyz says {status}"

    def get(self, path: str) -> Obj | None:
        """The object or list at a path, None when there is none."""
        status, answer = self._get(path)
        if status == 404:
            return None
        if status != 200:
            raise OSError(f"GET {path}: {status} {answer.decode(errors='replace')[:300]}")
        document: Obj = json.loads(answer)
        return document

    def send(self, method: str, path: str, pieces: Iterable[bytes] | None = None, timeout: float = 30) -> bytes:
        """The answer's body; `pieces` are streamed as ours. OSError with its text when it is not a success."""
        with closing(self._connect(timeout)) as connection:
            headers = {} if pieces is None else {"Content-Type": "application/octet-stream"}
            try:
                connection.request(method, path, pieces, headers)
            except (BrokenPipeError, ConnectionResetError):
                if pieces is None:
                    raise  # else it may have refused before it had all, and says why
            response = connection.getresponse()
            answer = response.read()
        if response.status >= 300:
            raise OSError(_reason(answer) or f"{method} {path}: {response.status}")
        return answer

    def watch(self, path: str, timeout: float) -> Iterator[Obj]:
        """Every object of the list at `path` as it is and whenever it changes, for `timeout` seconds at most."""
        with closing(self._connect(timeout)) as connection:
            connection.request("GET", f"{path}?watch=true&timeoutSeconds={max(1, int(timeout))}")
            response = connection.getresponse()
            if response.status != 200:
                raise OSError(f"watch {path}: {response.status} {response.read(300)!r}")
            for line in response:
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]

    def _get(self, path: str) -> tuple[int, bytes]:
        with closing(self._connect(10)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(*self._address, timeout=timeout, context=self._tls)


def _reason(answer: bytes) -> str:
    """The message of a Status, or the text that it is."""
    text = answer.decode(errors="replace").strip()
    try:
        return str(json.loads(text).get("message"))
    except (ValueError, AttributeError):
        return text


def condition(obj: Obj, kind: str) -> Obj:
    """The condition of a type in an object's status, {} without one."""
    conditions = obj.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), {})
