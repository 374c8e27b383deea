"""ResourceQuota: what a namespace may use in all. https://kubernetes.io/docs/concepts/policy/resource-quotas/

The last step of all: what it lets in is charged when it is written (ledger.py), by an index that the cache keeps. Where
nothing is limited a write costs one look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from api import quota
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.admission.quota.judge import Limited, Want
from apiserver.admission.quota.ledger import Ledger
from apiserver.configfile import Kinds, checked
from apiserver.storage.keys import lies_as
from apiserver.storage.store import Store

_STRINGS = {"type": ["array", "null"], "items": {"type": "string"}}
_SCOPE = {
    "type": "object",
    "properties": {"scopeName": {"type": "string"}, "operator": {"type": "string"}, "values": _STRINGS},
    "required": ["scopeName", "operator"],
    "additionalProperties": False,
}
_LIMITED = {
    "type": "object",
    "properties": {
        "apiGroup": {"type": "string"},
        "resource": {"type": "string", "minLength": 1},
        "matchContains": _STRINGS,
        "matchScopes": {"type": ["array", "null"], "items": _SCOPE},
    },
    "required": ["resource"],
    "additionalProperties": False,
}
_CONFIGURATION: Obj = {"properties": {"limitedResources": {"type": ["array", "null"], "items": _LIMITED}}}
_KINDS: Kinds = {("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"): _CONFIGURATION}


class ResourceQuota(Plugin):
    name = "ResourceQuota"

    def __init__(self, store: Store, now: Callable[[], datetime], configuration: Obj | None = None) -> None:
        self._store, self._now = store, now
        self._ledger = Ledger(store, _limited(configuration))

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        row = lies_as(res)
        measure = quota.measure(row.group, row.plural) if res.namespaced else None
        if measure is None or (verb == "create" and subresource):
            return False
        return verb == "create" or (verb == "update" and subresource in measure.grows)

    async def validate(self, attempt: Attempt) -> None:
        attempt.put = None
        self._store.check_filled()
        row = lies_as(attempt.res)
        measure = quota.measure(row.group, row.plural)
        if measure is None or not self._ledger.tracks(attempt.namespace, measure):
            return
        want = Want.of(attempt, measure, self._now())
        if attempt.dry_run:
            await self._ledger.check(want)
        else:
            attempt.put = self._ledger.writer(want)


def _limited(configuration: Obj | None) -> list[Limited]:
    """ConfigError. https://kubernetes.io/docs/concepts/policy/resource-quotas/#limit-priority-class-consumption-by-default"""
    if configuration is None:
        return []
    rules = checked(configuration, _KINDS, ResourceQuota.name).get("limitedResources") or []
    return [
        Limited(
            rule.get("apiGroup") or "",
            rule["resource"],
            tuple(rule.get("matchContains") or ()),
            tuple(rule.get("matchScopes") or ()),
        )
        for rule in rules
    ]
