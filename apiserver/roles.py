"""The default roles and bindings, and the rules that some ClusterRoles collect from others.

At each start what is missing of the defaults is added; rules and subjects that somebody added stay, and so does
everything that rbac.authorization.kubernetes.io/autoupdate=false protects.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation ,
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from api import meta, selectors
from api.builtin import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from api.errors import NotFound
from api.meta import Obj
from api.registry import Resource
from apiserver import managing
from apiserver.auth import default_roles, rules
from apiserver.auth.rules import Rule
from apiserver.context import Context
from apiserver.endpoints import SELF, ensure
from apiserver.follow import follow
from apiserver.routes.update import change

_PERIOD = 300.0
_AT_ONCE = 16


async def reconcile(context: Context) -> None:
    """Make them so. Roles before what binds them."""
    await _all(context, (CLUSTER_ROLES, default_roles.cluster_roles()), (ROLES, default_roles.roles()))
    await _all(
        context,
        (CLUSTER_ROLE_BINDINGS, default_roles.cluster_role_bindings()),
        (ROLE_BINDINGS, default_roles.role_bindings()),
    )
    await aggregate(context)


async def _all(context: Context, *tables: tuple[Resource, Iterable[Obj]]) -> None:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(res: Resource, wanted: Obj) -> None:
        async with slots:
            await _ensure(context, res, wanted)

    async with asyncio.TaskGroup() as group:
        for res, objects in tables:
            for wanted in objects:
                group.create_task(one(res, wanted))


async def _ensure(context: Context, res: Resource, wanted: Obj) -> None:
    try:
        found = (await context.store.get(res, meta.namespace(wanted), meta.name(wanted), resource_version="0")).obj()
    except NotFound:
        await ensure(context, res, wanted)
        return
    if res in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS) and found["roleRef"] != wanted["roleRef"]:
        if _is_protected(found):
            return
        await context.store.delete(res, meta.namespace(wanted), meta.name(wanted))  # a binding's role cannot change
        await ensure(context, res, wanted)
    elif completed(found, wanted) != found:
        await ensure(context, res, wanted, lambda obj: completed(obj, wanted))


def _is_protected(found: Obj) -> bool:
    return (found["metadata"].get("annotations") or {}).get(default_roles.AUTO_UPDATE) == "false"


def completed(found: Obj, wanted: Obj) -> Obj:
    """`found` with what it lacks of `wanted`."""
    if _is_protected(found):
        return found
    metadata = dict(found["metadata"])
    for field in ("labels", "annotations"):
        metadata[field] = {**wanted["metadata"][field], **(metadata.get(field) or {})}
    made = {**found, "metadata": metadata}
    if "aggregationRule" in wanted:
        picked = (found.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        lacking = [one for one in wanted["aggregationRule"]["clusterRoleSelectors"] if one not in picked]
        made["aggregationRule"] = {"clusterRoleSelectors": [*picked, *lacking]}
    elif lacking_rules := rules.missing(rules.read(found), rules.read(wanted)):
        made["rules"] = [*(found.get("rules") or []), *(rule.as_json() for rule in lacking_rules)]
    if lacking := [one for one in wanted.get("subjects") or [] if one not in (found.get("subjects") or [])]:
        made["subjects"] = [*(found.get("subjects") or []), *lacking]
    return made


# ---- aggregation


async def run(context: Context) -> None:
    """Keep the rules of aggregated ClusterRoles, until cancelled."""

    async def look() -> float:
        await aggregate(context)
        return _PERIOD

    await follow(context.store, (CLUSTER_ROLES,), look, settle=0.01)


async def aggregate(context: Context) -> None:
    """One role may collect from another that collects: as many rounds as it takes."""
    for _ in range(_AT_ONCE):
        stored = (await context.store.list(CLUSTER_ROLES, resource_version="0")).items
        wanted = _outdated([one.obj() for one in stored])
        if not wanted:
            return
        for name, collected in wanted.items():
            made = [rule.as_json() for rule in collected]

            def transform(obj: Obj, made: list[Obj] = made) -> Obj:
                return {**obj, "rules": made}

            await change(context, SELF, CLUSTER_ROLES, "", name, transform, track=managing.own(context, CLUSTER_ROLES))


def _outdated(roles: list[Obj]) -> dict[str, list[Rule]]:
    """Name → the rules it should have, of those that do not have them."""
    roles.sort(key=meta.name)
    found: dict[str, list[Rule]] = {}
    for role in roles:
        if not role.get("aggregationRule"):
            continue
        picked = collected(role, roles)
        if picked != list(rules.read(role)):
            found[meta.name(role)] = picked
    return found


def collected(role: Obj, roles: Iterable[Obj]) -> list[Rule]:
    """The rules of all roles that it selects, each once."""
    picks = [selectors.from_label_selector(one) for one in role["aggregationRule"].get("clusterRoleSelectors") or []]
    chosen = (
        other
        for pick in picks
        for other in roles
        if meta.name(other) != meta.name(role) and pick.matches(other["metadata"].get("labels") or {})
    )
    return list(dict.fromkeys(rule for other in chosen for rule in rules.read(other)))
