"""Who a container runs as: user, group and supplementary groups. Pure.

Docker takes the groups that the image gives a user if it is told the user alone, and none if it is told a group too.
What a pod wants may be either, whatever else it says (supplementalGroupsPolicy, KEP-3619), so the image's own files are
looked into where Docker would do otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kubelet.docker.config.parts import Accounts, Surroundings
from kubelet.pods.environment import ConfigError

_IDS = 1 << 32


@dataclass(frozen=True, slots=True)
class User:
    name: str
    """As Docker takes it: `user`, `user:group` or "" for the image's own."""
    groups: tuple[str, ...] = ()
    """Beside those that Docker finds in the image."""
    known: str = ""
    """`uid:gid:group,group…` of the first process; "" when it cannot be told."""


def of(context: Mapping[str, Any], of_pod: Mapping[str, Any], around: Surroundings) -> User:
    """`context` is the container's, with what it has of the pod's; `of_pod` the pod's own. ConfigError when the groups
    that the policy asks for cannot be told."""
    uid, gid = context.get("runAsUser"), context.get("runAsGroup")
    image_user, _, image_group = around.image_user.partition(":")
    user = str(uid) if uid is not None else image_user
    group = str(gid) if gid is not None else image_group if uid is None else ""
    asked = (of_pod.get("fsGroup"), *(of_pod.get("supplementalGroups") or []), *around.groups)
    added = [str(g) for g in asked if g is not None]
    strict = of_pod.get("supplementalGroupsPolicy") == "Strict"
    known = ""
    if around.accounts is not None:
        account = _account(user or "0", around.accounts)
        primary = _group_id(group, around.accounts) if group else account.group
        members = [] if strict else list(_memberships(account.name, around.accounts))
        if group:
            added += [g for g in members if g not in added]
        elif strict:
            group = primary
        everyone = sorted({int(g) for g in (primary, *added, *members)})
        known = f"{account.number}:{primary}:{','.join(map(str, everyone))}"
    elif strict and not group:
        raise ConfigError("supplementalGroupsPolicy Strict: the image does not show whose group its user is in")
    name = f"{user or '0'}:{group}" if group else user
    return User("" if name == around.image_user else name, tuple(added), known)


def without_effect(context: Mapping[str, Any], of_pod: Mapping[str, Any], accounts: Accounts | None) -> str:
    """What to tell where a policy that the pod asks for cannot be kept, or ""."""
    merge = of_pod.get("supplementalGroupsPolicy") == "Merge"
    if accounts is not None or not merge or context.get("runAsGroup") is None:
        return ""
    return (
        "spec.securityContext.supplementalGroupsPolicy has no effect beside runAsGroup: "
        "the image does not show which groups its user is in"
    )


class _Account(NamedTuple):
    name: str
    number: str
    group: str


def _is_id(text: str) -> bool:
    """Of a user or group: an image may say anything."""
    return text.isascii() and text.isdigit() and len(text) <= len(str(_IDS)) and int(text) < _IDS


def _rows(text: str) -> Iterator[list[str]]:
    return (line.split(":") for line in text.splitlines() if line and not line.startswith("#"))


def _account(user: str, accounts: Accounts) -> _Account:
    """Of a user given by name or number. Who is not in the image has group 0; a name that is not there is for Docker
    to refuse."""
    for row in _rows(accounts.passwd):
        if len(row) >= 4 and user in (row[0], row[2]) and _is_id(row[2]) and _is_id(row[3]):
            return _Account(row[0], row[2], row[3])
    return _Account("", user if _is_id(user) else "0", "0")


def _group_id(group: str, accounts: Accounts) -> str:
    if _is_id(group):
        return group
    rows = _rows(accounts.group)
    return next((row[2] for row in rows if len(row) >= 3 and row[0] == group and _is_id(row[2])), "0")


def _memberships(name: str, accounts: Accounts) -> Iterator[str]:
    rows = _rows(accounts.group)
    return (row[2] for row in rows if len(row) >= 4 and name and name in row[3].split(",") and _is_id(row[2]))


def check_not_root(user: int | None, image_user: str, spec: Mapping[str, Any], pod: Mapping[str, Any]) -> None:
    """ConfigError when the container would run as root, or nobody can tell. Source: security_context_others.go"""
    meta = pod["metadata"]
    where = f'(pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})", container: {spec["name"]})'
    name = image_user.split(":")[0]
    if user == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    if user is None and name in ("", "0"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if user is None and not name.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )
