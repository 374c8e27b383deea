"""How many pods each replica set of a deployment gets: rolling update, recreate, proportional scaling. Pure.

Every function returns the sizes that should change as `{replica set name: replicas}` and nothing else; what is
not named stays. Rules: k8s.io/kubernetes/pkg/controller/deployment/{rolling,recreate,sync}.go.

A replica set never counts as having more available pods than its spec asks for: after a scale-down its status
lags, and trusting it would take the deployment below its minimum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from api import meta
from api.meta import Obj
from controller import amounts
from controller.deployment_revisions import DESIRED_REPLICAS, MAX_REPLICAS, age_order

Sizes = dict[str, int]


def desired(deployment: Mapping[str, Any]) -> int:
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def is_rolling(deployment: Mapping[str, Any]) -> bool:
    return ((deployment["spec"].get("strategy") or {}).get("type") or "RollingUpdate") == "RollingUpdate"


def fenceposts(deployment: Mapping[str, Any]) -> tuple[int, int]:
    """(maxSurge rounded up, maxUnavailable rounded down), never both 0. (0, 0) unless RollingUpdate."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = desired(deployment)
    surge = amounts.resolve(rolling.get("maxSurge"), total, round_up=True, default="25%")
    unavailable = amounts.resolve(rolling.get("maxUnavailable"), total, round_up=False, default="25%")
    return (surge, 1) if surge == 0 and unavailable == 0 else (surge, unavailable)


def max_surge(deployment: Mapping[str, Any]) -> int:
    return fenceposts(deployment)[0]


def max_unavailable(deployment: Mapping[str, Any]) -> int:
    """At most the desired count."""
    return min(fenceposts(deployment)[1], desired(deployment))


def max_total(deployment: Mapping[str, Any]) -> int:
    return desired(deployment) + max_surge(deployment)


def size(rs: Mapping[str, Any]) -> int:
    replicas = rs["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def available(rs: Mapping[str, Any]) -> int:
    return min(int((rs.get("status") or {}).get("availableReplicas") or 0), size(rs))


def new_size(deployment: Obj, replica_sets: Sequence[Obj], current: int) -> int:
    """The size the new replica set may grow to beside `replica_sets` (itself included when it exists)."""
    if not is_rolling(deployment):
        return desired(deployment)
    room = max_total(deployment) - sum(size(rs) for rs in replica_sets)
    return current + max(0, min(room, desired(deployment) - current))


def roll(deployment: Obj, new: Obj, old: Sequence[Obj]) -> Sizes:
    """One step of a rolling update: grow the new replica set, or else shrink old ones. {} when nothing is due."""
    if size(new) > desired(deployment):
        return {meta.name(new): desired(deployment)}
    grown = new_size(deployment, [*old, new], size(new))
    if grown != size(new):
        return {meta.name(new): grown}
    return _shrink_old(deployment, new, old)


def _shrink_old(deployment: Obj, new: Obj, old: Sequence[Obj]) -> Sizes:
    sizes = {meta.name(rs): size(rs) for rs in old}
    minimum = desired(deployment) - max_unavailable(deployment)
    spare = sum(sizes.values()) + size(new) - minimum - (size(new) - available(new))
    if spare <= 0 or not any(sizes.values()):
        return {}
    by_age = sorted(old, key=age_order)
    for rs in by_age:  # pods that serve nobody go first: they hold back the rollout for nothing
        cut = max(0, min(spare, size(rs) - available(rs)))
        sizes[meta.name(rs)] -= cut
        spare -= cut
    surplus = available(new) + sum(available(rs) for rs in old) - minimum
    for rs in by_age:
        cut = max(0, min(surplus, sizes[meta.name(rs)]))
        sizes[meta.name(rs)] -= cut
        surplus -= cut
    return {meta.name(rs): sizes[meta.name(rs)] for rs in old if sizes[meta.name(rs)] != size(rs)}


def empty(replica_sets: Sequence[Obj]) -> Sizes:
    """All of them to zero."""
    return {meta.name(rs): 0 for rs in replica_sets if size(rs) > 0}


def is_scaling(deployment: Obj, replica_sets: Sequence[Obj]) -> bool:
    """Whether the deployment was resized since its active replica sets were last sized."""
    wanted = str(desired(deployment))
    return any(size(rs) > 0 and meta.annotations(rs).get(DESIRED_REPLICAS, wanted) != wanted for rs in replica_sets)


def resize(deployment: Obj, new: Obj | None, old: Sequence[Obj]) -> Sizes:
    """Spread a changed replica count over the replica sets, in the middle of a rollout or when paused."""
    everything = [*old, *([new] if new else [])]
    active = [rs for rs in everything if size(rs) > 0]
    if len(active) <= 1:
        latest = active[0] if active else new or max(old, key=age_order, default=None)
        return {} if latest is None or size(latest) == desired(deployment) else {
            meta.name(latest): desired(deployment)
        }  # fmt: skip
    if new is not None and _is_saturated(deployment, new):
        return empty(old)
    return _proportional(deployment, active) if is_rolling(deployment) else {}


def _is_saturated(deployment: Obj, new: Obj) -> bool:
    wanted = desired(deployment)
    return (
        size(new) == wanted and available(new) == wanted and meta.annotations(new).get(DESIRED_REPLICAS) == str(wanted)
    )


def _proportional(deployment: Obj, active: list[Obj]) -> Sizes:
    allowed = max_total(deployment) if desired(deployment) > 0 else 0
    to_add = allowed - sum(size(rs) for rs in active)
    if to_add == 0:
        return {}
    # The largest takes the remainder; among equals the newest grows and the oldest shrinks.
    active = sorted(active, key=age_order, reverse=to_add > 0)
    active.sort(key=size, reverse=True)
    sizes: Sizes = {}
    left = to_add
    for rs in active:
        share = min(max(0, _share(deployment, rs)), left) if to_add > 0 else max(min(0, _share(deployment, rs)), left)
        sizes[meta.name(rs)] = size(rs) + share
        left -= share
    for rs in active:  # rounding's remainder: the first takes it, as far as it can
        before = sizes[meta.name(rs)]
        sizes[meta.name(rs)] = max(0, before + left)
        left -= sizes[meta.name(rs)] - before
    return {meta.name(rs): sizes[meta.name(rs)] for rs in active if sizes[meta.name(rs)] != size(rs)}


def _share(deployment: Obj, rs: Obj) -> int:
    if desired(deployment) == 0:
        return -size(rs)
    before = meta.annotations(rs).get(MAX_REPLICAS, "")
    base = int(before) if before.isdigit() and int(before) > 0 else 0
    base = base or int((deployment.get("status") or {}).get("replicas") or 0)
    if base == 0:
        return 0
    return math.floor(size(rs) * max_total(deployment) / base + 0.5) - size(rs)
