from __future__ import annotations

from typing import Any

import pytest

from api import meta
from api.selectors import from_match_labels
from controller import ownership

from .make import ago, pod, replica_set

SELECTOR = from_match_labels({"app": "web"})


@pytest.mark.parametrize(
    ("child", "owner_gone", "expected"),
    [
        pytest.param({"owner": "rs", "labels": {"app": "web"}}, False, "mine", id="ours"),
        pytest.param({"owner": "rs", "labels": {"app": "x"}}, False, "release", id="ours, but no longer matching"),
        pytest.param({"owner": "rs", "labels": {"app": "x"}, "deleting": True}, False, "", id="leaving anyway"),
        pytest.param({"owner": "other", "labels": {"app": "web"}}, False, "", id="somebody else's"),
        pytest.param({"labels": {"app": "web"}}, False, "adopt", id="an orphan that matches"),
        pytest.param({"labels": {"app": "web"}, "deleting": True}, False, "", id="a leaving orphan"),
        pytest.param({"labels": {"app": "x"}}, False, "", id="an orphan of another kind"),
        pytest.param({"labels": {"app": "web"}}, True, "", id="a leaving owner adopts nothing"),
        pytest.param({"owner": "rs", "labels": {"app": "x"}}, True, "", id="and releases nothing"),
    ],
)
def test_claim(child: dict[str, Any], owner_gone: bool, expected: str) -> None:
    owner = replica_set("rs", 1)
    if owner_gone:
        owner["metadata"]["deletionTimestamp"] = ago(1)
    claims = ownership.claim(owner, SELECTOR, [pod("a", **child)])
    found = {field: [meta.name(o) for o in getattr(claims, field)] for field in ("mine", "adopt", "release")}
    assert found == {"mine": [], "adopt": [], "release": []} | ({expected: ["a"]} if expected else {})


def test_patches_hold_for_one_revision_and_keep_other_owners() -> None:
    child = pod("a")
    child["metadata"]["ownerReferences"] = [{"uid": "u1", "name": "keep"}]
    reference = {"uid": "u2", "name": "new", "controller": True}
    adopted = ownership.adoption_patch(child, reference)
    assert adopted["metadata"] == {
        "uid": "uid-a", "resourceVersion": "1", "ownerReferences": [{"uid": "u1", "name": "keep"}, reference],
    }  # fmt: skip
    assert ownership.release_patch(child, "u1")["metadata"]["ownerReferences"] is None
