"""What the server serves, followed: built-in kinds, custom ones, and those of other API servers.

Definitions that come and go are heard of through the collector's feed (`poke`); besides, the server is asked each
minute. A server that does not answer, or a group that it cannot ask, takes nothing away from what is known.
"""

from __future__ import annotations

import asyncio

from api import served
from api.errors import ApiError
from api.registry import Resource
from client import log, metrics
from client.clock import Clock
from client.http import ApiClient

_log = log.get("discovery")
_EVERY_SECONDS = 60.0
_SETTLE_SECONDS = 0.1  # a bundle of definitions arrives together
_RETRY_SECONDS = 1.0


class Discovery:
    def __init__(self, client: ApiClient, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self.rows: list[Resource] = []
        """One per group and plural, in its preferred version."""
        self.failure = ""
        """Why the last look was not complete, in upstream's words; "" when it was."""
        self._poked = asyncio.Event()
        self._known = asyncio.Event()
        self._listeners: list[asyncio.Event] = []

    def changes(self) -> asyncio.Event:
        """An event that is set when `rows` changes; who waits for it clears it."""
        self._listeners.append(asyncio.Event())
        return self._listeners[-1]

    def of(self, group: str, kind: str) -> Resource | None:
        return next((row for row in self.rows if row.group == group and row.kind == kind), None)

    def poke(self) -> None:
        """Something happened that may change what is served."""
        self._poked.set()

    async def wait_known(self) -> None:
        await self._known.wait()

    async def refresh(self) -> None:
        """Ask now. What goes wrong is told by `failure`."""
        try:
            documents = await self._client.discover()
        except ApiError as error:
            metrics.count("sampan_discovery_errors", reason=error.reason)
            self.failure = error.message
            return
        stale = served.stale(documents)
        found = list(served.rows(documents))
        have = {(row.group, row.version) for row in found}
        missing = {tuple(name.split("/")) for name in stale} - have
        found += [row for row in self.rows if (row.group, row.version) in missing]
        self.failure = _incomplete(stale) if stale else ""
        rows = served.preferred(found)
        if rows != self.rows:
            self.rows = rows
            for listener in self._listeners:
                listener.set()
        self._known.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._poked.clear()
            await self.refresh()
            if not self._known.is_set():
                _log.info("retry", why=self.failure)
            timer = self._clock.call_later(_EVERY_SECONDS if self._known.is_set() else _RETRY_SECONDS, self.poke)
            await self._poked.wait()
            timer.cancel()
            await self._clock.sleep(_SETTLE_SECONDS)


def _incomplete(stale: list[str]) -> str:
    groups = ", ".join(f"{name}: stale GroupVersion discovery: {name}" for name in sorted(stale))
    return (
        f"Discovery failed for some groups, {len(stale)} failing: unable to retrieve the complete list of server "
        f"APIs: {groups}"
    )
