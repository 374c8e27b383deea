"""Plain HTTP to the apiserver: for what client libraries hide, such as headers, bytes and broken requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from client.kubeconfig import RestConfig


class Raw:
    def __init__(self, config: RestConfig) -> None:
        self._config = config
        context = config.ssl_context()
        assert context is not None, "the apiserver speaks TLS alone"
        headers = {"Authorization": f"Bearer {config.token}"} if config.token else {}
        self.http = httpx.Client(base_url=config.server, verify=context, headers=headers, timeout=20)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """`headers` by their names with underscores: `accept="…"`, `accept_encoding="gzip"`."""
        return self.http.get(path, headers=_named(headers))

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        kwargs = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.request(method, path, headers=_named(headers), **kwargs)

    @contextlib.contextmanager
    def lines(self, path: str, **headers: str) -> Iterator[Iterator[str]]:
        """A stream, line by line; left open until the block ends."""
        with self.http.stream("GET", path, headers=_named(headers)) as answer:
            assert answer.status_code == 200, answer.read()
            yield answer.iter_lines()

    def close(self) -> None:
        self.http.close()


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
