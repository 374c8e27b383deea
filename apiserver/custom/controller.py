"""What becomes of CustomResourceDefinitions: their conditions, and the end of their objects.

Every server does this, with optimistic writes: whichever comes first makes the change, the others find it made.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from api import meta
from api.builtin import CUSTOM_RESOURCE_DEFINITIONS
from api.custom.status import set_condition, wanted_status
from api.errors import ApiError, Conflict, NotFound
from api.kinds.definition import CLEANUP
from api.meta import Obj
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.custom.rows import rows_of
from apiserver.deletion import DeleteOptions
from apiserver.routes.deletecollection import delete_each
from apiserver.routes.update import remove
from apiserver.storage.stored import Stored

SELF = User("system:apiserver", ("system:masters",))
_RETRY = 1.0
_LOOK_AGAIN = 2.0  # for instances that wait for finalizers of their own

log = logging.getLogger("apiserver.custom")


class _Brief(NamedTuple):
    """A definition without its versions, which are most of it."""

    revision: int
    definition: Obj


def _brief(stored: Stored) -> _Brief:
    definition = stored.obj()
    del definition["spec"]["versions"]
    return _Brief(stored.revision, definition)


class Controller:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._cleaning: dict[str, asyncio.Task[None]] = {}
        self._briefs: dict[str, _Brief] = {}

    async def run(self) -> None:
        """Until cancelled."""
        store = self._context.store
        await store.wait_ready()
        try:
            while True:
                try:
                    watch = await store.watch(CUSTOM_RESOURCE_DEFINITIONS, resource_version="0")
                    try:
                        while await watch.batch():
                            await self._look()
                    finally:
                        watch.close()
                except ApiError as error:
                    log.warning("definitions could not be followed, trying again: %s", error)
                    await asyncio.sleep(_RETRY)
                except Exception:
                    # Without this loop no new kind is ever served, so it goes on.
                    log.exception("following definitions stumbled, trying again")
                    await asyncio.sleep(_RETRY)
        finally:
            for task in self._cleaning.values():
                task.cancel()

    async def _look(self) -> None:
        page = await self._context.store.list(CUSTOM_RESOURCE_DEFINITIONS, resource_version="0")
        self._context.definitions.follow(page.items)
        before, self._briefs = self._briefs, {}
        groups: dict[str, list[Obj]] = {}
        for stored in page.items:
            known = before.get(stored.name)
            brief = known if known is not None and known.revision == stored.revision else _brief(stored)
            self._briefs[stored.name] = brief
            groups.setdefault(brief.definition["spec"]["group"], []).append(brief.definition)
        for stored in page.items:
            brief = self._briefs[stored.name]
            definition = brief.definition
            if meta.is_deleting(definition):
                self._clean(stored.name)
                continue
            others = [other for other in groups[definition["spec"]["group"]] if other is not definition]
            status = wanted_status(definition, others, self._now())
            if status != definition.get("status") and await self._write(stored, status):
                definition["status"] = status  # which the next in this round must respect

    def _now(self) -> str:
        return meta.rfc3339(self._context.now())

    async def _write(self, stored: Stored, status: Obj) -> bool:
        """False when somebody was faster, which shows up in the watch."""
        try:
            await self._context.store.update(
                CUSTOM_RESOURCE_DEFINITIONS, "", stored.name, lambda current: {**current, "status": status},
                resource_version=str(stored.revision),
            )  # fmt: skip
        except (Conflict, NotFound):
            return False
        return True

    # --- the end

    def _clean(self, name: str) -> None:
        task = self._cleaning.get(name)
        if task is None or task.done():
            self._cleaning[name] = asyncio.create_task(self._end(name), name=f"end of {name}")

    async def _end(self, name: str) -> None:
        """Delete all objects of the kind, then let the definition go."""
        while True:
            try:
                stored = await self._context.store.get(CUSTOM_RESOURCE_DEFINITIONS, "", name)
                definition = stored.obj()
                if CLEANUP not in (definition["metadata"].get("finalizers") or []):
                    return
                left = await self._delete_objects(definition)
                if not left:
                    await self._let_go(stored, definition)
                    return
                await self._say(stored, definition, True, "InstanceDeletionInProgress",
                                "CustomResource deletion is in progress")  # fmt: skip
                delay = _LOOK_AGAIN
            except NotFound:
                return
            except Conflict:
                delay = 0.0
            except ApiError as error:
                log.warning("the objects of %s could not be deleted, trying again: %s", name, error)
                delay = _RETRY
            await asyncio.sleep(delay)

    async def _delete_objects(self, definition: Obj) -> int:
        """How many are still there."""
        rows = list(rows_of(definition).values())
        if not rows:
            return 0
        context, row = self._context, rows[0]
        page = await context.store.list(row)
        await delete_each(context, SELF, row, page.items, DeleteOptions(), admitted=True)  # as upstream
        return len((await context.store.list(row)).items) if page.items else 0

    async def _say(self, stored: Stored, definition: Obj, terminating: bool, reason: str, message: str) -> None:
        conditions = definition.setdefault("status", {}).setdefault("conditions", [])
        before = [dict(condition) for condition in conditions]
        set_condition(conditions, self._now(), "Terminating", terminating, reason, message)
        if conditions != before:
            await self._write(stored, definition["status"])

    async def _let_go(self, stored: Stored, definition: Obj) -> None:
        conditions = definition.setdefault("status", {}).setdefault("conditions", [])
        set_condition(conditions, self._now(), "Terminating", False, "InstanceDeletionCompleted",
                      "removed all instances")  # fmt: skip
        finalizers = [f for f in definition["metadata"].get("finalizers") or [] if f != CLEANUP]
        definition["metadata"]["finalizers"] = finalizers
        if finalizers:
            await self._context.store.update(
                CUSTOM_RESOURCE_DEFINITIONS, "", stored.name, lambda _: definition,
                resource_version=str(stored.revision),
            )  # fmt: skip
        else:
            await remove(self._context, CUSTOM_RESOURCE_DEFINITIONS, stored, definition)
