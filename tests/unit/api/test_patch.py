"""Patches: the documented strategic merge rules, and what a three-way apply promises."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.builtin import DEPLOYMENTS, PODS, SERVICES
from api.errors import BadRequest, Invalid
from api.patch import json_patch, merge, strategic, three_way

_json = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(st.text(max_size=2), _json, max_size=4)


@given(_objects, _objects)
def test_a_merge_diff_applied_gives_the_new_object(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merge.apply(old, merge.diff(old, new)) == new


def test_a_json_patch_leaves_the_object_and_itself_as_they_were() -> None:
    """It may be applied again, to what another writer has made meanwhile."""
    obj, inner = {"a": {"b": 1}}, {"x": 1}
    patch = [
        {"op": "add", "path": "/c", "value": inner}, {"op": "remove", "path": "/c/x"},
        {"op": "copy", "from": "/a", "path": "/d"}, {"op": "replace", "path": "/d/b", "value": 2},
    ]  # fmt: skip
    for _ in range(2):
        assert json_patch.apply(obj, patch) == {"a": {"b": 1}, "c": {}, "d": {"b": 2}}
    assert (obj, inner) == ({"a": {"b": 1}}, {"x": 1})


def test_json_patch_reports_a_failed_test_as_invalid() -> None:
    with pytest.raises(Invalid, match="rejected our request"):
        json_patch.apply({"a": 1}, [{"op": "test", "path": "/a", "value": 2}])
    with pytest.raises(BadRequest):
        json_patch.apply({"a": 1}, {"op": "add"})


def _pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers)}}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param([{"name": "a", "image": "x:2"}], [("a", "x:2"), ("b", "y")], id="merged by name"),
        pytest.param([{"name": "c", "image": "z"}], [("c", "z"), ("a", "x"), ("b", "y")], id="new element first"),
        pytest.param([{"name": "a", "$patch": "delete"}], [("b", "y")], id="deleted"),
        pytest.param([{"$patch": "replace"}, {"name": "c", "image": "z"}], [("c", "z")], id="replaced"),
    ],
)
def test_lists_of_maps(patch: list[Any], expected: list[Any]) -> None:
    pod = _pod({"name": "a", "image": "x"}, {"name": "b", "image": "y"})
    before = copy.deepcopy(pod)
    result = strategic.apply(PODS, pod, {"spec": {"containers": patch}})
    assert [(c["name"], c["image"]) for c in result["spec"]["containers"]] == expected
    assert pod == before, "the original object is left alone"


def test_order_directive_sorts_and_keeps_server_only_elements() -> None:
    pod = _pod({"name": "a"}, {"name": "sidecar"}, {"name": "b"})
    patch = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    names = [c["name"] for c in strategic.apply(PODS, pod, patch)["spec"]["containers"]]
    assert names == ["sidecar", "b", "a"]


def test_primitive_lists_merge_and_delete() -> None:
    pod = {"metadata": {"name": "p", "finalizers": ["a", "b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
    assert strategic.apply(PODS, pod, patch)["metadata"]["finalizers"] == ["c", "b"]


def test_retain_keys_drops_the_rest() -> None:
    deployment = {"metadata": {}, "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(DEPLOYMENTS, deployment, patch)["spec"]["strategy"] == {"type": "Recreate"}


def test_atomic_lists_are_replaced() -> None:
    pod = _pod({"name": "a", "args": ["x", "y"]})
    result = strategic.apply(PODS, pod, {"spec": {"containers": [{"name": "a", "args": ["z"]}]}})
    assert result["spec"]["containers"][0]["args"] == ["z"]


def test_an_element_without_its_merge_key_is_refused() -> None:
    with pytest.raises(BadRequest, match="merge key: name"):
        strategic.apply(PODS, _pod({"name": "a"}), {"spec": {"containers": [{"image": "x"}]}})


def test_apply_keeps_what_others_set_and_deletes_what_it_no_longer_wants() -> None:
    original = {"metadata": {"labels": {"gone": "1", "stays": "1"}}, "spec": {"replicas": 3}}
    modified = {"metadata": {"labels": {"stays": "2"}}, "spec": {}}
    current = {
        "metadata": {"labels": {"gone": "1", "stays": "1", "other": "x"}},
        "spec": {"replicas": 5, "paused": True},
    }
    patch = three_way.merge(DEPLOYMENTS, original, modified, current)
    result = strategic.apply(DEPLOYMENTS, current, patch)
    assert result["metadata"]["labels"] == {"stays": "2", "other": "x"}
    assert result["spec"] == {"paused": True}


def test_apply_of_ports_that_share_a_number_is_quiet_and_complete() -> None:
    want = [{"name": "u", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53, "protocol": "TCP"}]
    have = [{**p, "targetPort": 53} for p in want]
    assert three_way.merge(SERVICES, None, {"spec": {"ports": want}}, {"spec": {"ports": have}}) == {}
    patch = three_way.merge(SERVICES, None, {"spec": {"ports": want}}, {"spec": {"ports": have[:1]}})
    assert strategic.apply(SERVICES, {"spec": {"ports": have[:1]}}, patch)["spec"]["ports"] == want


_containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abcd"), "image": st.sampled_from(["x", "y"])},
        optional={"args": st.lists(st.sampled_from("pq"), max_size=2), "tty": st.booleans()},
    ),
    max_size=4,
    unique_by=lambda c: c["name"],
)
_labels = st.dictionaries(st.sampled_from("klm"), st.sampled_from("12"), max_size=3)
_specs = st.builds(lambda c, l: {"metadata": {"labels": l}, "spec": {"containers": c}}, _containers, _labels)  # noqa: E741


@given(_specs, _specs)
def test_applying_twice_changes_nothing_and_reaches_what_is_wanted(old: dict[str, Any], new: dict[str, Any]) -> None:
    """`old` was applied and is what the server has; then `new` is applied."""
    result = strategic.apply(PODS, old, three_way.merge(PODS, old, new, old))
    assert result == new
    assert three_way.merge(PODS, new, new, result) == {}


@given(_specs, _specs, _specs)
def test_apply_never_removes_what_it_did_not_set(
    was: dict[str, Any], want: dict[str, Any], have: dict[str, Any]
) -> None:
    result = strategic.apply(PODS, have, three_way.merge(PODS, was, want, have))
    kept = {c["name"] for c in have["spec"]["containers"]} - {c["name"] for c in was["spec"]["containers"]}
    names = {c["name"] for c in result["spec"]["containers"]}
    assert kept | {c["name"] for c in want["spec"]["containers"]} <= names
    assert want["metadata"]["labels"].items() <= result["metadata"]["labels"].items()
