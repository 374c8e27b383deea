"""Objects seen in another version than the one they lie in.

Several served versions of one stored object: https://kubernetes.io/docs/reference/using-api/#api-groups and
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson

from api.custom.schema import CustomSchema
from api.errors import InternalError
from api.meta import Obj
from api.registry import Hooks, Registry, Resource
from api.selectors import EVERYTHING, parse_fields
from apiserver.storage.decode import decode
from apiserver.storage.ring import Change
from apiserver.storage.selection import Rendered, select
from apiserver.storage.stored import Stored
from apiserver.storage.views import Views, is_viewed


def _old(obj: Obj) -> Obj:
    obj["length"] = obj.pop("size")
    return obj


def _new(obj: Obj) -> Obj:
    obj["size"] = obj.pop("length")
    return obj


NEW = Resource("ex.io", "v2", "Boat", "boats", "boat", True, fields={"size": ""})
OLD = replace(
    NEW, version="v1", fields={"length": ""}, stored_as=NEW, hooks=Hooks(to_stored=_new, from_stored=_old)
)  # fmt: skip
CUSTOM = replace(NEW, group="custom.io", custom=CustomSchema("boats.custom.io", {}))


def lying(name: str, revision: int, size: int, row: Resource = NEW) -> Stored:
    obj = {"apiVersion": row.api_version, "kind": "Boat", "metadata": {"name": name, "namespace": "a"}, "size": size}
    return decode(Registry([row]), f"a/{name}", orjson.dumps(obj), revision)


async def test_a_view_is_made_once() -> None:
    views, stored = Views(), lying("x", 7, 3)
    assert is_viewed(OLD) and not is_viewed(NEW)
    view = await views.one(OLD, stored)
    assert (view.obj()["apiVersion"], view.obj()["length"], view.revision) == ("ex.io/v1", 3, 7)
    assert view.fields["length"] == "3"
    assert await views.one(OLD, stored) is view
    assert await views.one(NEW, stored) is stored


async def test_what_is_written_lies_in_the_stored_version() -> None:
    sent = {"apiVersion": "ex.io/v1", "kind": "Boat", "metadata": {"name": "x", "resourceVersion": "4"}, "length": 5}
    stored = await Views().to_stored(OLD, sent)
    assert stored == {
        "apiVersion": "ex.io/v2", "kind": "Boat", "metadata": {"name": "x", "resourceVersion": "4"}, "size": 5,
    }  # fmt: skip


async def test_many_readers_share_one_conversion() -> None:
    calls = []

    async def slowly(objs: list[Obj], source: Resource, target: Resource) -> list[Obj]:
        calls.append(len(objs))
        await asyncio.sleep(0)
        return objs

    views, items = Views(), [lying(f"x{i}", i, i, CUSTOM) for i in range(3)]
    views.convert = slowly
    first, second = await asyncio.gather(views.of(CUSTOM, items), views.of(CUSTOM, items))
    assert calls == [3]
    assert [a is b for a, b in zip(first, second, strict=True)] == [True] * 3
    assert first[0].raw is items[0].raw, "bytes that are the same are kept once"


async def test_a_definition_that_changed_converts_anew_and_tells_what_is_outdated() -> None:
    async def convert(objs: list[Obj], _: Resource, target: Resource) -> list[Obj]:
        return [{**obj, "apiVersion": target.api_version} for obj in objs]

    views, stored = Views(), lying("x", 1, 1, CUSTOM)
    views.convert = convert
    assert not (await views.one(CUSTOM, stored)).outdated
    newer = replace(CUSTOM, version="v3")
    view = await views.one(newer, stored)
    assert (view.outdated, view.obj()["apiVersion"]) == (True, "custom.io/v3")


async def test_watchers_judge_the_view_and_hear_of_a_failed_conversion() -> None:
    """An object enters and leaves a selection by the fields of the version that is watched."""
    views = Views()
    selection = select("a", EVERYTHING, parse_fields("length=2", lambda _: True))
    small, right = lying("x", 1, 1), lying("x", 2, 2)
    changes = [
        Rendered(Change(1, "a/x", small, None)),
        Rendered(Change(2, "a/x", right, small)),
        Rendered(Change(3, "a/x", None, right)),
    ]
    events = await views.events(OLD, selection, changes)
    assert [(e.type, e.revision, e.obj()["length"]) for e in events] == [("ADDED", 2, 2), ("DELETED", 3, 2)]

    async def fail(*_: object) -> list[Obj]:
        raise InternalError("conversion webhook for custom.io/v2 failed")

    views.convert = fail
    (event,) = await views.events(CUSTOM, selection, [Rendered(Change(1, "a/x", lying("x", 1, 1, CUSTOM), None))])
    assert (event.type, event.obj()["code"]) == ("ERROR", 500)
