"""The flow schemas and priority levels of every cluster, and whether a flow schema's level is there.

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#mandatory-configuration-objects
"""

from __future__ import annotations

import copy
import json

from api import meta
from api.builtin import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from api.kinds.flow_objects import LEVELS, SCHEMAS
from api.meta import Obj
from apiserver.context import Context
from apiserver.endpoints import SELF, ensure
from apiserver.follow import follow
from apiserver.routes.update import change

_PERIOD = 300.0


async def run(context: Context) -> None:
    """Until cancelled."""

    async def look() -> float:
        for row, objects in ((PRIORITY_LEVEL_CONFIGURATIONS, LEVELS), (FLOW_SCHEMAS, SCHEMAS)):
            there = {stored.name for stored in (await context.store.list(row, resource_version="0")).items}
            for obj in objects:
                if meta.name(obj) not in there:
                    await ensure(context, row, copy.deepcopy(obj))
        await _conditions(context)
        return _PERIOD

    await follow(context.store, (PRIORITY_LEVEL_CONFIGURATIONS, FLOW_SCHEMAS), look)


async def _conditions(context: Context) -> None:
    levels = {s.name for s in (await context.store.list(PRIORITY_LEVEL_CONFIGURATIONS, resource_version="0")).items}
    for stored in (await context.store.list(FLOW_SCHEMAS, resource_version="0")).items:
        schema = stored.obj()
        wanted = dangling(schema, levels)
        found = meta.get_condition(schema, "Dangling") or {}
        if any(found.get(key) != value for key, value in wanted.items()):

            def transform(obj: Obj, wanted: Obj = wanted) -> Obj:
                conditions = obj.setdefault("status", {}).setdefault("conditions", [])
                meta.set_condition(conditions, wanted, context.now())
                return obj

            await change(context, SELF, FLOW_SCHEMAS, "", stored.name, transform, subresource="status")


def dangling(schema: Obj, levels: set[str]) -> Obj:
    """The Dangling condition of a flow schema, without its time."""
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    text = f"This FlowSchema references the PriorityLevelConfiguration object named {json.dumps(level)}"
    if level in levels:
        return {"type": "Dangling", "status": "False", "reason": "Found", "message": f"{text} and it exists"}
    reason, message = "NotFound", f"{text} but there is no such object"
    return {"type": "Dangling", "status": "True", "reason": reason, "message": message}
