"""Asking the server what it serves, and remembering the answer for ten minutes in the user's cache folder."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson

from api.meta import Obj
from api.served import ACCEPT, PATHS
from kubectl.catalog import Catalog, from_discovery, from_json, to_json

_FRESH_SECONDS = 600
Fetch = Callable[[str, str], Awaitable[Obj]]  # (path, Accept) → document


class Discovery:
    def __init__(self, fetch: Fetch, server: str, cache_dir: str = "") -> None:
        self._fetch = fetch
        root = cache_dir or os.environ.get("KUBECACHEDIR") or str(Path.home() / ".kube" / "cache")
        self._file = Path(root) / "sampan" / (re.sub(r"[^\w.-]", "_", server.split("://")[-1]) + ".json")
        self.fresh = False
        """The catalog was fetched by this process: asking again will not help."""

    async def catalog(self) -> Catalog:
        return self._cached() or await self.refresh()

    async def refresh(self) -> Catalog:
        documents = [await self._fetch(path, ACCEPT) for path in PATHS]
        catalog = from_discovery(documents)
        self.fresh = True
        self._remember(catalog)
        return catalog

    def _cached(self) -> Catalog | None:
        try:
            if time.time() - self._file.stat().st_mtime > _FRESH_SECONDS:
                return None
            return from_json(orjson.loads(self._file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none yet, or written by another version: the server is asked

    def _remember(self, catalog: Catalog) -> None:
        """A cache that cannot be written is done without."""
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=self._file.parent)  # mode 0600
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(to_json(catalog)))
            os.replace(temporary, self._file)
