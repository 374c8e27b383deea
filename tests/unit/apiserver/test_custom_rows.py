"""Rows follow definitions: what is served, what stays as it is, and what a definition may not do."""

from __future__ import annotations

import copy
from typing import Any, cast

import orjson

from api.builtin import BUILTIN
from api.kinds.definition import default
from api.registry import Registry, Resource
from apiserver.custom.definitions import Definitions
from apiserver.custom.rows import rows_of
from apiserver.storage.store import Store
from apiserver.storage.stored import Stored

Obj = dict[str, Any]


class FakeStore:
    def __init__(self) -> None:
        self.ended: list[str] = []

    def end_watches(self, res: Resource) -> None:
        self.ended.append(res.plural)


def definition(group: str = "g.example.com", plural: str = "foos", kind: str = "Foo", **of_version: Any) -> Obj:
    names = {"plural": plural, "kind": kind}
    version = {"served": True, "schema": {"openAPIV3Schema": {"type": "object"}}, **of_version}
    made: Obj = {
        "metadata": {"name": f"{plural}.{group}", "uid": "u"},
        "spec": {
            "group": group, "scope": "Cluster", "names": names,
            "versions": [{**version, "name": "v1alpha1"}, {**version, "name": "v1", "storage": True},
                         {**version, "name": "v2", "served": False}],
        },
    }  # fmt: skip
    default(made)
    accepted = {"acceptedNames": made["spec"]["names"], "conditions": [{"type": "Established", "status": "True"}]}
    return {**made, "status": accepted}


def stored(made: Obj, revision: int) -> Stored:
    return Stored("", made["metadata"]["name"], revision, orjson.dumps(made), {}, {})


def following() -> tuple[Registry, Definitions, FakeStore]:
    registry, store = Registry(BUILTIN), FakeStore()
    return registry, Definitions(registry, cast(Store, store)), store


def served(registry: Registry, plural: str = "foos") -> list[str]:
    return [row.version for row in registry if row.plural == plural and row.custom is not None]


def test_every_served_version_of_an_established_definition_has_a_row() -> None:
    registry, definitions, _ = following()
    made = definition()
    definitions.follow([stored(made, 1)])
    assert sorted(served(registry)) == ["v1", "v1alpha1"]
    alpha = registry.by_plural("g.example.com", "v1alpha1", "foos")
    assert alpha is not None and alpha.stored_as is registry.by_plural("g.example.com", "v1", "foos")
    assert definitions.row("foos.g.example.com", "v2") is not None, "objects may lie in it"
    waiting = {**made, "status": {**made["status"], "conditions": []}}
    definitions.follow([stored(waiting, 2)])
    assert served(registry) == []
    definitions.follow([])
    assert definitions.row("foos.g.example.com", "v1") is None


def test_a_change_of_the_status_changes_no_row_and_one_of_the_spec_ends_watches() -> None:
    registry, definitions, store = following()
    made = definition()
    definitions.follow([stored(made, 1)])
    before, generation = registry.by_plural("g.example.com", "v1", "foos"), registry.generation
    made["status"]["conditions"].append({"type": "Other", "status": "True"})
    definitions.follow([stored(made, 2)])
    assert registry.by_plural("g.example.com", "v1", "foos") is before and registry.generation == generation
    assert store.ended == []
    made["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["description"] = "new"
    definitions.follow([stored(made, 3)])
    assert registry.by_plural("g.example.com", "v1", "foos") is not before and store.ended == ["foos"]


def test_no_definition_takes_the_place_of_a_built_in_kind() -> None:
    registry, definitions, _ = following()
    definitions.follow([stored(definition("networking.k8s.io", "ingresses", "Mine"), 1),
                        stored(definition("networking.k8s.io", "mines", "Ingress"), 1)])  # fmt: skip
    row = registry.by_plural("networking.k8s.io", "v1", "ingresses")
    assert row is not None and row.custom is None
    assert registry.by_kind("networking.k8s.io", "v1", "Ingress") is row
    assert served(registry, "mines") == ["v1alpha1"]


def test_while_a_definition_goes_nothing_new_is_made() -> None:
    registry, definitions, _ = following()
    made = definition()
    definitions.follow([stored(made, 1)])
    row = registry.by_plural("g.example.com", "v1", "foos")
    assert row is not None and not definitions.is_terminating(row)
    going = copy.deepcopy(made)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    definitions.follow([stored(going, 2)])
    assert definitions.is_terminating(row)
    definitions.follow([])
    definitions.follow([stored(made, 3)])
    assert not definitions.is_terminating(row)


def test_one_broken_definition_does_not_keep_others_from_being_served() -> None:
    registry, definitions, _ = following()
    broken = definition(plural="bars", kind="Bar")
    del broken["spec"]["group"]
    definitions.follow([stored(broken, 1), stored(definition(), 1)])
    assert served(registry, "bars") == [] and "v1" in served(registry)


def test_the_warning_of_a_deprecated_version_names_a_better_one() -> None:
    """apiextensions-apiserver, customresource_handler.go."""
    made = definition()
    made["spec"]["versions"][0]["deprecated"] = True
    told = rows_of(made)["v1alpha1"].deprecation
    assert told == "g.example.com/v1alpha1 Foo is deprecated; use g.example.com/v1 Foo"
    made["spec"]["versions"][0]["deprecationWarning"] = "gone soon"
    told = rows_of(made)["v1alpha1"].deprecation
    assert told == "gone soon"
