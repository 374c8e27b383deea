"""Who controls what: adopting orphans that a selector matches, releasing children that it no longer does. Pure.

An object has at most one owner reference with `controller: true`. A loop takes its children from those that
name it, adopts matching ones that name nobody, and never touches those of another controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from api import meta
from api.meta import Obj
from api.selectors import Selector


@dataclass(slots=True)
class Claims:
    """`mine` includes nothing of `adopt` or `release`: those become true once written."""

    mine: list[Obj] = field(default_factory=list)
    adopt: list[Obj] = field(default_factory=list)
    release: list[Obj] = field(default_factory=list)


def claim(
    owner: Mapping[str, Any],
    selector: Selector,
    children: Iterable[Obj],
    *,
    adoptable: Callable[[Obj], bool] = lambda _: True,
) -> Claims:
    """Sort `children` of the owner's namespace into what is the owner's, becomes it, or stops being it."""
    claims = Claims()
    owner_gone = meta.is_deleting(owner)
    for child in children:
        matches = selector.matches(meta.labels(child))
        controller = meta.controller_of(child)
        if controller is not None:
            if controller.get("uid") != meta.uid(owner):
                continue
            if matches:
                claims.mine.append(child)
            elif not owner_gone and not meta.is_deleting(child):
                claims.release.append(child)
        elif matches and not owner_gone and not meta.is_deleting(child) and adoptable(child):
            claims.adopt.append(child)
    return claims


def adoption_patch(child: Obj, reference: Obj) -> Obj:
    """A merge patch that adds the controller reference, valid only for this very revision of the child."""
    return _references(child, [*meta.owner_references(child), reference])


def release_patch(child: Obj, owner_uid: str) -> Obj:
    """A merge patch that drops every reference to `owner_uid`."""
    return without_owners(child, {owner_uid})


def without_owners(child: Obj, uids: Iterable[str]) -> Obj:
    dropped = set(uids)
    return _references(child, [r for r in meta.owner_references(child) if r.get("uid") not in dropped])


def _references(child: Obj, references: list[Obj]) -> Obj:
    return {
        "metadata": {
            "uid": meta.uid(child),
            "resourceVersion": child["metadata"]["resourceVersion"],
            "ownerReferences": references or None,
        }
    }
