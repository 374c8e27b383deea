"""Who owns what after updates and applies, as the server-side apply page of the Kubernetes documentation, KEP-555 and
the tests of sigs.k8s.io/structured-merge-diff (here: SMD) tell it; and laws that hold for any object."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import objects
from api.builtin import CONFIG_MAPS, DEPLOYMENTS, PODS
from api.custom.schema import CustomSchema
from api.errors import BadRequest, Conflict
from api.patch import apply as applying
from api.patch import managers
from api.patch.managers import Door
from api.registry import Resource

Obj = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

_SCHEMA: Obj = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "map": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["id", "kind"],
                    "items": {
                        "type": "object",
                        "properties": {
                            "id": {"type": "integer"},
                            "kind": {"type": "string", "default": "K"},
                            "v": {"type": "string"},
                        },
                    },
                },
                "atomic": {"type": "array", "items": {"type": "string"}},
                "whole": {
                    "type": "object",
                    "x-kubernetes-map-type": "atomic",
                    "additionalProperties": {"type": "string"},
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "port": {"x-kubernetes-int-or-string": True},
                "inner": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
                },
            },
        }
    },
}
THINGS = Resource("x.io", "v1", "Thing", "things", "thing", True, custom=CustomSchema("things.x.io", _SCHEMA))


def door(res: Resource, subresource: str = "", now: datetime = NOW) -> Door:
    return Door(res, now, subresource, *objects.kept_by(res, subresource))


def thing(**spec: Any) -> Obj:
    return {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "d"}, "spec": spec}


def cm(**data: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "d"}, "data": data}


def apply(live: Obj | None, config: Obj, manager: str, *, force: bool = False, now: datetime = NOW) -> Obj:
    res = {"Thing": THINGS, "ConfigMap": CONFIG_MAPS, "Deployment": DEPLOYMENTS}[config["kind"]]
    before = copy.deepcopy((live, config))
    result = applying.apply(door(res, now=now), live, config, manager, force=force)
    assert (live, config) == before, "inputs are left as they are"
    if live is not None:
        result["metadata"].setdefault("uid", live["metadata"].get("uid", "u"))
    return result


def update(live: Obj | None, new: Obj, manager: str, *, now: datetime = NOW, subresource: str = "") -> Obj:
    res = {"Thing": THINGS, "ConfigMap": CONFIG_MAPS, "Deployment": DEPLOYMENTS, "Pod": PODS}[new["kind"]]
    result = copy.deepcopy(new)
    managers.track(door(res, subresource, now), result, live, manager)
    return result


def owned(obj: Obj) -> dict[str, Obj]:
    """manager/operation → FieldsV1."""
    return {f"{e['manager']}/{e['operation']}": e["fieldsV1"] for e in obj["metadata"].get("managedFields", [])}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        pytest.param({"set": ["b", "a"]}, {"f:set": {'v:"b"': {}, 'v:"a"': {}}}, id="set"),
        pytest.param({"map": [{"id": 1, "v": "x"}]}, {"f:map": {'k:{"id":1,"kind":"K"}': {".": {}, "f:id": {}, "f:v": {}}}}, id="a key's default"),
        pytest.param({"atomic": ["a"]}, {"f:atomic": {}}, id="lists are atomic"),
        pytest.param({"whole": {"a": "b"}}, {"f:whole": {}}, id="atomic map"),
        pytest.param({"free": {"a": {"b": [1]}}}, {"f:free": {"f:a": {".": {}, "f:b": {}}}}, id="deduced"),
        pytest.param({"free": {}}, {"f:free": {}}, id="empty map"),
        pytest.param({"set": []}, {}, id="empty set"),
        pytest.param({"inner": {"kind": "K", "metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"a": "x"}}}, {"f:inner": {"f:kind": {}, "f:metadata": {"f:name": {}, "f:labels": {"f:a": {}}}, "f:spec": {"f:a": {}}}}, id="embedded"),
        pytest.param({"port": "http"}, {"f:port": {}}, id="int or string"),
    ],
)  # fmt: skip
def test_what_an_apply_owns(spec: Obj, fields: Obj) -> None:
    """SSA, "Merge strategy" and "Format"; SMD's ToFieldSet."""
    assert owned(apply(None, thing(**spec), "m")) == ({"m/Apply": {"f:spec": fields}} if fields else {})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (thing(set=["a", "a"]), '.spec.set: duplicate entries for key [="a"]'),
        (thing(map=[{"v": "x"}]), '.spec.map: element 0: associative list with keys has an element that omits key field "id" (and doesn\'t have default value)'),
        (thing(map=[{"id": 1}, {"id": 1, "kind": "K"}]), '.spec.map: duplicate entries for key [id=1,kind="K"]'),
        (thing(what=1), ".spec.what: field not declared in schema"),
        ({**thing(), "metadata": []}, ".metadata: expected map, got &{[]}"),
        (thing(atomic={"a": 1}), ".spec.atomic: expected list, got &{map[a:1]}"),
        (thing(atomic=[1], whole=["a"]), "errors:\n  .spec.atomic[0]: expected string, got &value.valueUnstructured{Value:1}\n  .spec.whole: expected map, got &{[a]}"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit(config: Obj, message: str) -> None:
    """The texts of SMD's validation."""
    with pytest.raises(BadRequest) as caught:
        apply(None, config, "m")
    where = "d/t" if config["metadata"] else "/"
    assert caught.value.message == f"failed to create typed patch object ({where}; x.io/v1, Kind=Thing): {message}"


def test_lists_are_merged_in_the_order_of_the_configuration() -> None:
    """SMD: like the live list where the configuration changes nothing, else like the configuration."""
    live = apply(None, thing(set=["a", "b", "c"]), "one")
    assert apply(live, thing(set=["c", "x", "a"]), "two")["spec"]["set"] == ["b", "c", "x", "a"]
    assert apply(live, thing(set=["b"]), "two")["spec"]["set"] == ["a", "b", "c"]


def test_an_item_that_two_own_goes_when_both_have_let_go() -> None:
    """SSA, "Sharing"."""
    both = apply(apply(None, thing(map=[{"id": 1, "v": "x"}]), "one"), thing(map=[{"id": 1}]), "two")
    kept = apply(both, thing(map=[]), "one")
    assert kept["spec"]["map"] == [{"id": 1}]
    assert not apply(kept, thing(), "two")["spec"]


def test_what_an_updater_owns_is_not_removed_by_an_applier() -> None:
    """KEP-555: only what nobody else owns is removed."""
    live = apply(None, cm(x="1", y="1"), "one")
    changed = update(live, {**live, "data": {"x": "2", "y": "1"}}, "editor", now=LATER)
    assert owned(changed) == {"one/Apply": {"f:data": {"f:y": {}}}, "editor/Update": {"f:data": {"f:x": {}}}}
    assert apply(changed, cm(), "one")["data"] == {"x": "2"}


def test_an_update_moves_time_only_when_it_changes_something() -> None:
    made = update(None, cm(x="1"), "m")
    made["metadata"]["uid"] = "u"
    assert made["metadata"]["managedFields"][0]["time"] == "2026-01-02T03:04:05Z"
    assert update(made, made, "m", now=LATER) == made
    changed = update(made, {**made, "data": {"x": "2"}}, "m", now=LATER)
    assert changed["metadata"]["managedFields"][0]["time"] == "2026-01-02T04:04:05Z"


def test_fields_that_are_gone_are_owned_by_nobody() -> None:
    live = apply(None, cm(x="1", y="1"), "one")
    assert owned(update(live, {**live, "data": {"x": "1"}}, "m")) == {"one/Apply": {"f:data": {"f:x": {}}}}
    assert owned(update(live, {k: v for k, v in live.items() if k != "data"}, "m")) == {}


def test_each_door_owns_what_it_writes() -> None:
    """KEP-555, "Subresources": the status belongs to the status door, whatever else a request brings."""
    live = apply(
        None, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, "spec": {"replicas": 1}}, "m"
    )
    live |= {"status": {}}
    live["metadata"]["uid"] = "u"
    new = {**live, "spec": {"replicas": 5}, "status": {"replicas": 1}}
    through = update(live, new, "ctl", subresource="status")
    entry = next(e for e in through["metadata"]["managedFields"] if e["manager"] == "ctl")
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})
    assert owned(update(live, {**live, "status": {"replicas": 1}}, "x")) == owned(live)


def test_a_creation_owns_no_empty_structs_and_no_generated_metadata() -> None:
    pod: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-", "uid": "u"},
                "spec": {"containers": [{"name": "a", "image": "x", "resources": {}}]}, "status": {}}  # fmt: skip
    assert owned(update(None, pod, "m"))["m/Update"] == {
        "f:metadata": {"f:generateName": {}},
        "f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}, "f:resources": {}}}},
    }


def test_a_conflict_names_manager_field_and_version() -> None:
    """SSA, "Conflicts"; apimachinery's NewConflictError."""
    live = update(None, thing(map=[{"id": 1, "v": "x"}], port=1), "ed it")
    live["metadata"]["uid"] = "u"
    with pytest.raises(Conflict) as caught:
        apply(live, thing(map=[{"id": 1, "v": "y"}]), "m")
    where = '.spec.map[id=1,kind="K"].v'
    assert caught.value.message == (f'Apply failed with 1 conflict: conflict with "ed it" using x.io/v1: {where}')
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "ed it" using x.io/v1', "field": where}
    assert caught.value.details == {"causes": [cause]}


def test_client_side_apply_is_taken_over_by_kubectl_alone() -> None:
    """SSA, "Upgrading from client-side apply": what the annotation says and the object still has is no conflict."""
    annotation = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","z":"1"}}'
    noted = {
        "metadata": {"name": "a", "namespace": "d", "uid": "u", "annotations": {applying.LAST_APPLIED: annotation}}
    }
    live = update(None, {**cm(x="1", z="2"), **noted}, "kubectl-client-side-apply")
    applied = apply(live, cm(x="2"), "kubectl")
    assert applied["data"] == {"x": "2", "z": "2"}
    assert '"x":"2"' in applied["metadata"]["annotations"][applying.LAST_APPLIED]
    for config, manager in ((cm(z="1"), "kubectl"), (cm(x="2"), "other")):
        with pytest.raises(Conflict):
            apply(live, config, manager)


def test_the_oldest_updaters_are_put_together() -> None:
    obj = update(None, cm(), "m00")
    obj["metadata"]["uid"] = "u"
    obj["metadata"]["managedFields"] = update(None, cm(first=""), "m00")["metadata"]["managedFields"]
    for number in range(1, 14):
        new = {**obj, "data": {**obj["data"], f"k{number}": ""}}
        obj = update(obj, new, f"m{number:02}", now=NOW + timedelta(minutes=number))
    found = obj["metadata"]["managedFields"]
    assert len(found) == 10
    bucket = next(e for e in found if e["manager"] == "ancient-changes")
    assert (bucket["operation"], bucket["apiVersion"], bucket["time"]) == ("Update", "v1", "2026-01-02T03:08:05Z")


@pytest.mark.parametrize("reset", [[], [{}]], ids=str)
def test_managed_fields_can_be_reset(reset: list[Any]) -> None:
    live = apply(None, cm(x="1"), "one")
    live["metadata"]["uid"] = "u"
    cleared = update(live, {**live, "metadata": {**live["metadata"], "managedFields": reset}}, "m")
    assert "managedFields" not in cleared["metadata"]
    assert "managedFields" not in update(cleared, {**cleared, "data": {"x": "2"}}, "m")["metadata"]
    assert owned(apply(cleared, cm(y="1"), "two"))["before-first-apply/Update"] == {"f:data": {".": {}, "f:x": {}}}


@pytest.mark.parametrize(
    "entry",
    [{"operation": "Guess"}, {"operation": "Apply"}, {"operation": "Update", "apiVersion": "v1", "fieldsType": "V9"},
     {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}, 7,
     {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "time": 3}],
)  # fmt: skip
def test_malformed_entries_of_a_client_are_passed_over(entry: Any) -> None:
    """apimachinery's decodeLiveOrNew: what cannot be read is as if it were not there."""
    live = apply(None, cm(x="1"), "one")
    new = {**live, "metadata": {**live["metadata"], "managedFields": [entry]}}
    assert owned(update(live, new, "m")) == owned(live)


def test_a_field_that_became_atomic_is_owned_as_a_whole() -> None:
    """SMD's ReconcileFieldSetWithSchema."""
    live = apply(None, thing(whole={"a": "b"}), "m")
    live["metadata"]["managedFields"][0]["fieldsV1"] = {"f:spec": {"f:whole": {"f:a": {}}}}
    assert owned(update(live, {**live, "spec": {**live["spec"], "port": 1}}, "n"))["m/Apply"] == {
        "f:spec": {"f:whole": {}}
    }


# --- laws -------------------------------------------------------------------------------------------------

_names = st.sampled_from("abc")
_specs = st.fixed_dictionaries(
    {},
    optional={
        "set": st.lists(_names, max_size=3, unique=True),
        "map": st.lists(
            st.fixed_dictionaries({"id": st.integers(1, 3)}, optional={"v": _names}),
            max_size=3,
            unique_by=lambda e: e["id"],
        ),
        "atomic": st.lists(_names, max_size=2),
        "whole": st.dictionaries(_names, _names, max_size=2),
        # No empty map within: when all of its keys go, upstream lets it go too.
        "free": st.dictionaries(
            _names, st.one_of(_names, st.dictionaries(_names, _names, min_size=1, max_size=2)), max_size=2
        ),
    },
)


def _sorted(spec: Any) -> Any:
    """Lists whose order does not matter, in one order."""
    spec = objects.drop_nulls(spec or {})
    return {
        k: sorted(v, key=lambda e: json.dumps(e, sort_keys=True)) if k in ("set", "map") else v
        for k, v in spec.items()
        if v not in ([], {})
    }


@given(_specs, _specs)
def test_applying_twice_is_applying_once(before: Obj, spec: Obj) -> None:
    live = apply(apply(None, thing(**before), "other"), thing(**spec), "m", force=True)
    again = apply(live, thing(**spec), "m", now=LATER)
    assert objects.equal({**again, "metadata": live["metadata"]}, live)
    assert owned(again) == owned(live)


@given(_specs, _specs)
def test_an_applier_leaves_nothing_but_its_last_word(before: Obj, spec: Obj) -> None:
    result = apply(apply(None, thing(**before), "m"), thing(**spec), "m")
    assert _sorted(result.get("spec")) == _sorted(thing(**spec)["spec"])


@given(_specs, _specs)
def test_force_takes_over_and_says_so(before: Obj, spec: Obj) -> None:
    live = apply(None, thing(**before), "one")
    forced = apply(live, thing(**spec), "two", force=True)
    mine = owned(apply(None, thing(**spec), "two")).get("two/Apply")
    assert owned(forced).get("two/Apply") == mine
    try:
        unforced = apply(live, thing(**spec), "two")
    except Conflict:
        return
    assert unforced == forced


@given(_specs, _specs)
def test_managers_that_do_not_disagree_may_come_in_any_order(a: Obj, b: Obj) -> None:
    try:
        one = apply(apply(None, thing(**a), "a"), thing(**b), "b")
        two = apply(apply(None, thing(**b), "b"), thing(**a), "a")
    except Conflict:
        return
    assert _sorted(one["spec"]) == _sorted(two["spec"])
    if "before-first-apply/Update" not in owned(one) | owned(two):  # the first one owned nothing
        assert owned(one) == owned(two)
