from __future__ import annotations

import copy

import pytest

from api import meta
from controller import deployment_revisions as revisions
from controller import template_hash

from .make import deployment, replica_set

PREFIX = "deployment.kubernetes.io/"


def test_the_hash_does_not_depend_on_key_order_and_collisions_change_it() -> None:
    template = deployment()["spec"]["template"]
    shuffled = dict(reversed(list(template.items())))
    assert template_hash.compute(template, None) == template_hash.compute(shuffled, None)
    hashes = {template_hash.compute(template, count) for count in (None, 1, 2)}
    assert len(hashes) == 3
    assert all(set(h) <= set(template_hash.ALPHABET) and h for h in hashes)


def test_find_new_takes_the_oldest_with_the_same_template() -> None:
    sets = [replica_set("b", 1, image="app:1", age=5), replica_set("a", 1, image="app:1", age=50),
            replica_set("c", 1, image="app:2", age=90)]  # fmt: skip
    found = revisions.find_new(deployment(image="app:1"), sets)
    assert found is not None and meta.name(found) == "a"
    assert revisions.find_new(deployment(image="app:3"), sets) is None


def test_build_labels_template_and_selector_with_the_hash() -> None:
    wanted = deployment(3)
    wanted["metadata"]["annotations"] = {
        "kubernetes.io/change-cause": "why",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    before = copy.deepcopy(wanted)
    rs = revisions.build(wanted, 2, 4, 5)
    hashed = rs["metadata"]["labels"]["pod-template-hash"]
    assert meta.name(rs) == f"web-{hashed}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hashed}
    assert rs["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": hashed}
    assert meta.annotations(rs) == {
        "kubernetes.io/change-cause": "why", PREFIX + "revision": "4",
        PREFIX + "desired-replicas": "3", PREFIX + "max-replicas": "5",
    }  # fmt: skip
    assert meta.controller_of(rs) == meta.controller_reference(wanted, "apps/v1", "Deployment")
    assert wanted == before
    assert revisions.find_new(wanted, [{**rs, "metadata": {**rs["metadata"], "uid": "u"}}]) is not None


@pytest.mark.parametrize(
    ("annotations", "revision", "expected"),
    [
        pytest.param({}, 1, {"revision": "1"}, id="first"),
        pytest.param({"revision": "1"}, 3, {"revision": "3", "revision-history": "1"}, id="used again"),
        pytest.param(
            {"revision": "3", "revision-history": "1"}, 5,
            {"revision": "5", "revision-history": "1,3"}, id="and again",
        ),
        pytest.param({"revision": "4"}, 2, {"revision": "4"}, id="never backwards"),
    ],
)  # fmt: skip
def test_revision_history(annotations: dict[str, str], revision: int, expected: dict[str, str]) -> None:
    rs = replica_set("a", 1)
    rs["metadata"]["annotations"] = {PREFIX + k: v for k, v in annotations.items()}
    found = revisions.annotations_for_new(deployment(), rs, revision)
    assert found == {PREFIX + k: v for k, v in expected.items()}


def test_the_history_is_cut_at_its_oldest_end() -> None:
    rs = replica_set("a", 1, revision=999)
    rs["metadata"]["annotations"][PREFIX + "revision-history"] = ",".join(str(n) for n in range(1, 700))
    history = revisions.annotations_for_new(deployment(), rs, 1000)[PREFIX + "revision-history"]
    assert len(history) <= 2000 and history.endswith(",999") and not history.startswith("1,")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(10, []), (1, ["a", "b"]), (0, ["a", "b", "c"]), (2, ["a"])],
)
def test_removable(limit: int, expected: list[str]) -> None:
    old = [replica_set(n, 0, revision=r, age=9) for n, r in (("c", 3), ("a", 1), ("b", 2))]
    found = revisions.removable(deployment(revisionHistoryLimit=limit), old)
    assert [meta.name(rs) for rs in found] == expected


@pytest.mark.parametrize("options", [{"pods": 1}, {"observed": 0}], ids=["still has a pod", "its status lags"])
def test_an_old_replica_set_that_is_not_settled_stays(options: dict[str, int]) -> None:
    assert revisions.removable(deployment(revisionHistoryLimit=0), [replica_set("a", 0, **options)]) == []
