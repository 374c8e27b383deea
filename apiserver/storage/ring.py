"""The recent past of one collection: every change after `floor`, in revision order. Pure.

It answers two questions without etcd: what happened since a revision (watch), and what was an object then (pages
of one list that must agree). It forgets what is older than `keep_seconds`, but holds the last `least` changes, and
never more than about `most_bytes` of objects that are no longer current.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from apiserver.storage.stored import Stored
from apiserver.storage.versions import too_old

_OVERHEAD = 300  # bytes of bookkeeping that a change costs besides its object


@dataclass(slots=True, eq=False)
class Change:
    """One key at one revision. current is None when it was removed, previous None when it was made."""

    revision: int
    key: str  # "namespace/name" or "name"
    current: Stored | None
    previous: Stored | None
    at: float = 0.0  # monotonic seconds

    @property
    def weight(self) -> int:
        return _OVERHEAD + (len(self.previous.raw) if self.previous else 0)


class Ring:
    def __init__(
        self, floor: int, *, keep_seconds: float = 75.0, least: int = 1024, most_bytes: int = 32 << 20
    ) -> None:
        self.floor = floor
        self._changes: deque[Change] = deque()
        self._weight = 0
        self._keep_seconds = keep_seconds
        self._least = least
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._changes)

    @property
    def last(self) -> int:
        """The revision of the newest change; the floor when none is known."""
        return self._changes[-1].revision if self._changes else self.floor

    def append(self, change: Change) -> None:
        self._changes.append(change)
        self._weight += change.weight
        oldest_kept = change.at - self._keep_seconds
        while len(self._changes) > 1 and (
            self._weight > self._most_bytes or (len(self._changes) > self._least and self._changes[0].at < oldest_kept)
        ):
            forgotten = self._changes.popleft()
            self._weight -= forgotten.weight
            self.floor = forgotten.revision

    def restart(self, floor: int) -> None:
        """Forget everything: the changes up to `floor` are not fully known."""
        self._changes.clear()
        self._weight = 0
        self.floor = floor

    def since(self, revision: int) -> list[Change]:
        """The changes after `revision`, oldest first. Expired when some of them are forgotten."""
        if revision < self.floor:
            raise too_old(revision, self.floor)
        newer: list[Change] = []
        for change in reversed(self._changes):
            if change.revision <= revision:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def undo(self, revision: int) -> dict[str, Stored | None] | None:
        """What differs between now and `revision`: key → the object then, None = it was not there.

        None when that is forgotten.
        """
        if revision < self.floor:
            return None
        then: dict[str, Stored | None] = {}
        for change in reversed(self._changes):
            if change.revision <= revision:
                break
            then[change.key] = change.previous
        return then
