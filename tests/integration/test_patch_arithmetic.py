"""Our patch arithmetic against upstream's own: `kubectl patch --local` runs it without a server, on random objects."""

from __future__ import annotations

import copy
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.builtin import BUILTIN
from api.errors import ApiError
from api.patch import json_patch, merge, strategic
from tests.harness.upstream import kubectl_path

Obj = dict[str, Any]
_EXAMPLES = settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    derandomize=True, database=None,
)  # fmt: skip  # no shrinking: each example starts a process
_names = st.sampled_from("abcd")
_texts = st.sampled_from(["x", "y"])


def _subset(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Obj]:
    return st.fixed_dictionaries(required, optional=optional)


def _unique(items: st.SearchStrategy[Obj], key: str) -> st.SearchStrategy[list[Obj]]:
    return st.lists(items, max_size=3, unique_by=lambda e: e[key])


_env = _subset({"name": _names}, {"value": _texts})
_port = _subset({"containerPort": st.sampled_from([80, 81, 443])}, {"name": _texts, "protocol": st.just("UDP")})
_container = _subset(
    {"name": _names},
    {
        "image": _texts,
        "args": st.lists(_texts, max_size=2),
        "env": _unique(_env, "name"),
        "ports": _unique(_port, "containerPort"),
        "tty": st.booleans(),
    },
)
_volume = st.one_of(
    _subset({"name": _names}, {"emptyDir": st.just({})}),
    _subset({"name": _names}, {"configMap": st.fixed_dictionaries({"name": _texts})}),
)
_metadata = _subset(
    {"name": st.just("o")},
    {
        "labels": st.dictionaries(_names, _texts, max_size=3),
        "finalizers": st.lists(_names, max_size=3, unique=True),
        "ownerReferences": _unique(_subset({"uid": _names}, {"name": _texts}), "uid"),
    },
)
_spec = _subset(
    {},
    {
        "containers": _unique(_container, "name"),
        "volumes": _unique(_volume, "name"),
        "nodeSelector": st.dictionaries(_names, _texts, max_size=2),
        "tolerations": st.lists(_subset({}, {"key": _names}), max_size=2),
        "hostNetwork": st.booleans(),
        "imagePullSecrets": _unique(_subset({"name": _names}, {}), "name"),
    },
)
_pods = _subset({"metadata": _metadata}, {"spec": _spec}).map(lambda o: {"apiVersion": "v1", "kind": "Pod", **o})


_ORDERED = ("containers", "env", "ports", "volumes", "finalizers", "ownerReferences", "imagePullSecrets")


@st.composite
def _marked(draw: st.DrawFn, value: Any, path: str = "") -> Any:
    """`value` as a patch: some of it null, some with directives."""
    if isinstance(value, list):
        result = [draw(_marked(item, path)) for item in value]
        if result and isinstance(result[0], dict) and draw(st.integers(0, 5)) == 0:
            result.append({"$patch": "replace"})
        return result
    if not isinstance(value, dict):
        return value
    result = {}
    for key, held in value.items():
        key_of_item = key in ("name", "containerPort", "uid")
        inner = draw(_marked(held, key))
        choice = draw(st.integers(0, 9))
        result[key] = None if choice == 0 and not key_of_item else inner
        if isinstance(held, list) and choice in (1, 2) and key in _ORDERED:
            names = [
                {k: e[k] for k in ("name", "containerPort", "uid") if k in e} if isinstance(e, dict) else e
                for e in held
            ]
            result[f"$setElementOrder/{key}"] = [{"name": e["name"]} if key == "env" else e for e in names]
        if key == "finalizers" and choice == 3:
            result["$deleteFromPrimitiveList/finalizers"] = draw(st.lists(_names, max_size=2))
    choice = draw(st.integers(0, 14))
    if choice < 2 and path:
        result["$patch"] = ("delete", "replace")[choice]
    elif choice == 2:
        result["$retainKeys"] = sorted(k for k in result if not k.startswith("$"))
    return result


@st.composite
def _patches(draw: st.DrawFn) -> Obj:
    wanted = draw(_pods)
    return {k: draw(_marked(v, k)) for k, v in wanted.items() if k in ("metadata", "spec")}


def _upstream(objects: list[Obj], patch: Any, kind: str) -> tuple[list[Obj], str]:
    """(the patched objects, the error that ended it)."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "objects.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        argv = [str(kubectl_path()), "patch", "--local", "-f", str(file), "--type", kind, "-p", json.dumps(patch)]
        done = subprocess.run([*argv, "-o", "json"], capture_output=True, text=True, timeout=60)
    found: list[Obj] = []
    rest = done.stdout.strip()
    while rest:
        item, end = json.JSONDecoder().raw_decode(rest)
        found.append(item)
        rest = rest[end:].strip()
    return found, done.stderr.strip()


def _judge(apply: Any, objects: list[Obj], patch: Any, kind: str) -> None:
    """Object for object the same, or an error where upstream has one (it goes on with the next)."""
    numbered = [{**obj, "status": {"message": str(number)}} for number, obj in enumerate(objects)]
    found, errors = _upstream(numbered, patch, kind)
    theirs = {obj["status"]["message"]: obj for obj in found}
    ours = {}
    for number, obj in enumerate(numbered):
        try:
            ours[str(number)] = apply(copy.deepcopy(obj), patch)
        except ApiError as refused:
            errors += f"\n{number} refused by us: {refused.message}"
    assert ours == theirs, errors


@given(st.lists(_pods, min_size=4, max_size=8), _patches())
@_EXAMPLES
def test_strategic_merge(objects: list[Obj], patch: Obj) -> None:
    row = BUILTIN.by_kind("", "v1", "Pod")
    assert row is not None
    _judge(lambda obj, p: strategic.apply(row, obj, p), objects, patch, "strategic")


@given(st.lists(_pods, min_size=4, max_size=8), _patches())
@_EXAMPLES
def test_merge(objects: list[Obj], patch: Obj) -> None:
    _judge(merge.checked, objects, patch, "merge")


_paths = st.sampled_from(
    ["/metadata/labels", "/metadata/labels/a", "/metadata/finalizers/0", "/metadata/finalizers/-", "/spec/volumes/1",
     "/spec/containers/0/image", "/spec/hostNetwork", "/spec", "/spec/nodeSelector/b", "/metadata/finalizers/9"]
)  # fmt: skip
_values = st.sampled_from(["x", {"a": "b"}, ["a"], True])
_operations = st.one_of(
    st.fixed_dictionaries({"op": st.sampled_from(["add", "replace", "test"]), "path": _paths, "value": _values}),
    st.fixed_dictionaries({"op": st.just("remove"), "path": _paths}),
    st.fixed_dictionaries({"op": st.sampled_from(["move", "copy"]), "path": _paths, "from": _paths}),
    st.fixed_dictionaries({"op": st.just("test"), "path": _paths, "value": st.none()}),
)


@given(st.lists(_pods, min_size=4, max_size=8), st.lists(_operations, min_size=1, max_size=2))
@_EXAMPLES
def test_json_patch(objects: list[Obj], patch: list[Obj]) -> None:
    _judge(json_patch.apply, objects, patch, "json")


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"$patch": "merge"}}, "unknown patch type: merge in map: map[$patch:merge]"),
        ({"spec": {"containers": [{"image": "y"}]}}, "map: map[image:y] does not contain declared merge key: name"),
        ({"spec": {"$retainKeys": ["a"], "hostNetwork": True}}, "invalid patch format of retainKeys"),
        ({"spec": {"$setElementOrder": []}}, "invalid patch format of setElementOrder list"),
        ({"spec": {"$setElementOrder/containers": "x"}}, "expected a []interface {}, but received a string"),
        ({"spec": {"containers": [{"name": "a", "$patch": "x"}]}}, "unknown patch type: x in map: map[$patch:x name:a]"),
        ({"metadata": {"$deleteFromPrimitiveList": ["a"]}}, "invalid patch format of primitive list"),
    ],
)  # fmt: skip
def test_the_text_of_errors(patch: Obj, message: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "o"}, "spec": {"containers": [{"name": "a"}]}}
    row = BUILTIN.by_kind("", "v1", "Pod")
    assert row is not None
    with pytest.raises(ApiError) as caught:
        strategic.apply(row, pod, patch)
    assert caught.value.message == message
    assert message in _upstream([pod], patch, "strategic")[1]
