"""What a ResourceQuota's status should say. Pure.

Rules: k8s.io/apiserver/pkg/quota/v1 and k8s.io/kubernetes/pkg/controller/resourcequota
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from api import quantities, quota
from api.meta import Obj
from api.pod_resources import Amounts, added
from api.quota import Measure
from api.registry import Resource


def hard(of: Obj) -> Amounts:
    return (of.get("spec") or {}).get("hard") or {}


def measure(row: Resource) -> Measure | None:
    return quota.measure(row.group, row.plural) if row.namespaced else None


def counted(of: Obj, rows: Iterable[Resource]) -> list[Resource]:
    """Those of `rows` whose objects the quota counts, in one way or another."""
    return [row for row in rows if (found := measure(row)) is not None and any(map(found.tracks, hard(of)))]


class Tally:
    """What objects of one kind use of a quota, page by page."""

    def __init__(self, of: Obj, measured: Measure, now: datetime) -> None:
        self._spec, self._measure, self._now = of.get("spec") or {}, measured, now
        self._names = [name for name in hard(of) if measured.tracks(name)]
        self.used: Amounts = dict.fromkeys(self._names, "0")
        self.changes_at: datetime | None = None
        """When it will be less by itself."""

    def add(self, objects: Iterable[Obj]) -> None:
        for obj in objects:
            if not self._measure.counts(self._spec, obj):
                continue
            self.used = added(self.used, quota.masked(self._measure.usage(obj, self._now), self._names))
            ends = quota.pod_ends(obj)
            if ends is not None and ends >= self._now and (self.changes_at is None or ends < self.changes_at):
                self.changes_at = ends


def status(of: Obj, tallies: Iterable[Tally]) -> Obj:
    """Nothing is said of what nobody counts, or could not be counted now and never was."""
    before = (of.get("status") or {}).get("used") or {}
    used = quota.masked(before, hard(of))
    for tally in tallies:
        used |= tally.used
    return {"hard": hard(of), "used": used}


def same(one: Obj, other: Obj) -> bool:
    """Amounts in use may be written in several ways."""
    if one.get("hard") != other.get("hard") or "used" not in other:
        return False
    used = [{name: quantities.parse(amount) for name, amount in found["used"].items()} for found in (one, other)]
    return used[0] == used[1]


def needs_count(old: Obj | None, new: Obj) -> bool:
    """Not when only its status has changed: the apiserver writes that with each object."""
    return old is None or old.get("spec") != new.get("spec")


def uses_otherwise(of: Obj, measured: Measure, old: Obj, new: Obj, now: datetime) -> bool:
    """Whether an update of an object may change what the quota's status should say."""
    spec = of.get("spec") or {}
    names = [name for name in hard(of) if measured.tracks(name)]
    before, after = (
        (
            measured.counts(spec, obj),
            quota.masked(measured.usage(obj, now), names),
            quota.pod_ends(obj),
        )
        for obj in (old, new)
    )
    return before != after
