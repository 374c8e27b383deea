"""Whether what is wanted fits into the quotas of its namespace. Pure.

A quota that has not been counted yet limits nothing, but is touched: the count that is under way is then begun anew.
Rules and wording: k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from api import quantities
from api.meta import Obj
from api.pod_resources import Amounts, added
from api.quota import Measure, Scope, growth, masked, scopes
from apiserver.admission.chain import Attempt


@dataclass(frozen=True, slots=True)
class Quota:
    """`hard` and `used` are those of its status; `used` runs ahead while a batch is judged."""

    name: str
    spec: Obj
    hard: Amounts
    used: Amounts

    @classmethod
    def of(cls, name: str, obj: Obj) -> Quota:
        status = obj.get("status") or {}
        return cls(name, obj.get("spec") or {}, status.get("hard") or {}, status.get("used") or {})

    def tracks(self, measure: Measure) -> bool:
        return any(map(measure.tracks, self.hard)) or any(map(measure.tracks, self.spec.get("hard") or ()))

    def is_uncounted(self, measure: Measure) -> bool:
        return any(measure.tracks(name) and name not in self.used for name in self.spec.get("hard") or {})


@dataclass(frozen=True, slots=True)
class Want:
    """What one attempt uses, and what more than the object that it replaces."""

    attempt: Attempt
    measure: Measure
    usage: Amounts
    more: Amounts

    @classmethod
    def of(cls, attempt: Attempt, measure: Measure, now: datetime) -> Want:
        usage = measure.usage(attempt.new(), now)
        more = usage if attempt.old is None else growth(usage, measure.usage(attempt.old, now))
        return cls(attempt, measure, usage, more)

    def of_quota(self, quota: Quota) -> Amounts:
        """What it adds to a quota that counts it; all of it when the quota did not count what was there before."""
        old = self.attempt.old
        amounts = self.usage if old is None or not self.measure.counts(quota.spec, old) else self.more
        return {name: amount for name, amount in amounts.items() if quantities.parse(amount)}


@dataclass(frozen=True, slots=True)
class Limited:
    """Objects that use such a resource, or are in such a scope, need a quota that covers it.
    https://kubernetes.io/docs/concepts/policy/resource-quotas/#limit-priority-class-consumption-by-default"""

    group: str
    plural: str
    contains: tuple[str, ...]
    scopes: tuple[Scope, ...]


def judge(want: Want, quotas: Iterable[Quota], limited: Sequence[Limited] = ()) -> list[Quota]:
    """The quotas that are to be written with it, as they are then. Forbidden."""
    attempt, measure, obj = want.attempt, want.measure, want.attempt.new()
    concerned: list[tuple[Quota, Amounts]] = []
    touched: list[Quota] = []
    covered: set[str] = set()
    in_scopes: set[Any] = set()
    for quota in quotas:
        if limited:
            in_scopes |= {s.get("scopeName") for s in scopes(quota.spec) if measure.in_scope(s, obj)}
        names = [name for name in quota.hard if measure.tracks(name)]
        uncounted = quota.is_uncounted(measure)
        if not (names or uncounted) or not measure.counts(quota.spec, obj):
            continue
        if missing := measure.missing(obj, names):
            raise attempt.forbidden(f"failed quota: {quota.name}: {missing}")
        if any(name not in quota.used for name in names):
            raise attempt.forbidden(f"status unknown for quota: {quota.name}, resources: {','.join(sorted(names))}")
        amounts = want.of_quota(quota)
        if names:
            concerned.append((quota, amounts))
            covered.update(names)
        if uncounted and amounts and not masked(amounts, names):
            touched.append(quota)
    if negative := sorted(name for name, amount in want.usage.items() if quantities.parse(amount) < 0):
        raise attempt.forbidden(f"quota usage is negative for resource(s): {','.join(negative)}")
    if limited and any(amounts for _, amounts in concerned or [(_NONE, want.of_quota(_NONE))]):
        _check_covered(want, limited, covered, in_scopes)
    growing = [(quota, masked(amounts, quota.hard)) for quota, amounts in concerned]
    return touched + [_grown(attempt, quota, amounts) for quota, amounts in growing if amounts]


_NONE = Quota("", {}, {}, {})


def _grown(attempt: Attempt, quota: Quota, amounts: Amounts) -> Quota:
    used = added(quota.used, amounts)
    over = [name for name in sorted(amounts) if quantities.parse(used[name]) > quantities.parse(quota.hard[name])]
    if over and attempt.subresource != "status":
        shown = [_shown(found, over) for found in (amounts, quota.used, quota.hard)]
        raise attempt.forbidden(
            f"exceeded quota: {quota.name}, requested: {shown[0]}, used: {shown[1]}, limited: {shown[2]}"
        )
    return replace(quota, used=used)


def _check_covered(want: Want, limited: Sequence[Limited], covered: set[str], in_scopes: set[Any]) -> None:
    attempt, measure = want.attempt, want.measure
    of_kind = [rule for rule in limited if (rule.group, rule.plural) == (attempt.res.group, attempt.res.plural)]
    needed = {
        name for rule in of_kind for name, amount in want.usage.items()
        if quantities.parse(amount) > 0 and any(part in name for part in rule.contains)
    }  # fmt: skip
    if uncovered := sorted(needed - covered):
        raise attempt.forbidden(f"insufficient quota to consume: {','.join(uncovered)}")
    matched = [scope for rule in limited for scope in rule.scopes if measure.in_scope(scope, attempt.new())]
    if lacking := [scope for scope in matched if scope.get("scopeName") not in in_scopes]:
        raise attempt.forbidden(f"insufficient quota to match these scopes: [{' '.join(map(_scope_shown, lacking))}]")


def _scope_shown(scope: Scope) -> str:
    values = scope.get("values")
    listed = " ".join(map(str, values)) if isinstance(values, list) else ""
    return f"{{{scope.get('scopeName', '')} {scope.get('operator', '')} [{listed}]}}"


def _shown(amounts: Amounts, names: Iterable[str]) -> str:
    return ",".join(f"{name}={quantities.canonical(amounts[name])}" for name in names if name in amounts)
