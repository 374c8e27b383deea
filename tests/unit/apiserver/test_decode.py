from dataclasses import asdict
from typing import Any

import orjson
import pytest

from api.builtin import BUILTIN, DEPLOYMENTS, NODES, PODS
from apiserver.storage import keys
from apiserver.storage.decode import Draft, decode


def test_keys_say_where_things_live() -> None:
    assert keys.path(PODS, "ns", "web") == "/registry/core/pods/ns/web"
    assert keys.path(NODES, "", "n1") == "/registry/core/nodes/n1"
    assert keys.path(DEPLOYMENTS, "ns", "web") == "/registry/apps/deployments/ns/web"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("/registry/core/pods/ns/web", ("core/pods", "ns/web")),
        ("/registry/core/nodes/n1", ("core/nodes", "n1")),
        ("/registry/.compaction", None),
        ("/registry/core/pods/", None),
    ],
)
def test_keys_are_taken_apart(key: str, expected: tuple[str, str] | None) -> None:
    assert keys.parse(key) == expected


def test_what_is_stored_has_no_revision_and_starts_with_the_type() -> None:
    pod = {"spec": {}, "metadata": {"name": "a", "resourceVersion": "5"}, "kind": "Pod", "apiVersion": "v1"}
    assert Draft(BUILTIN, "a", pod).value == b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{}}'


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {"name": "a", "namespace": "ns", "labels": {"k": "v"}}, "spec": {"nodeName": "n"}},
        {"metadata": {"namespace": "ns", "name": "a", "annotations": {"}": "}}"}, "resourceVersion": "3"}},
        {"spec": {"hostNetwork": True, "x": [1.0, 1e300, -(1 << 63), "\u2028é"]}, "metadata": {"name": "a"}},
        {"metadata": {}},
    ],
)
def test_a_draft_tells_of_itself_what_reading_it_back_does(more: dict[str, Any]) -> None:
    draft = Draft(BUILTIN, "ns/a", {"kind": "Pod", "apiVersion": "v1", **more})
    assert asdict(draft.stored(7)) == asdict(decode(BUILTIN, "ns/a", draft.value, 7))


def test_what_is_read_has_its_revision_labels_and_fields() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ns", "labels": {"k": "v"}}}
    stored = decode(BUILTIN, "ns/a", orjson.dumps(pod), 7)
    assert stored.obj()["metadata"]["resourceVersion"] == "7"
    assert (stored.namespace, stored.name, stored.labels) == ("ns", "a", {"k": "v"})
    assert stored.fields["spec.hostNetwork"] == "false"


@pytest.mark.parametrize("value", [b"", b"[]", b'"x"', b'{"kind":"Pod"}', b"{"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):
        decode(BUILTIN, "ns/a", value, 1)
