"""What a client's resourceVersion, resourceVersionMatch and limit ask for, and the errors about them.

The table is https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions; wording follows
k8s.io/apiserver/pkg/storage/errors.go and apimachinery's ListOptions validation.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from api.errors import (
    BadRequest,
    Expired,
    FieldError,
    Invalid,
    Timeout,
    forbidden_field,
    invalid_object,
    not_supported,
)


class Freshness(Enum):
    LATEST = "most recent, agreed with the quorum"
    ANY = "whatever the cache has"
    NOT_OLDER = "at least as new as a revision"
    EXACT = "as it was at a revision"


class Wanted(NamedTuple):
    freshness: Freshness
    revision: int = 0


def parse(text: str) -> int:
    """0 for unset. BadRequest."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    if int(text) >= 1 << 64:
        raise BadRequest(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": value out of range'
        )
    return int(text)


def _any_of(resource_version: str) -> Wanted:
    revision = parse(resource_version)
    if not resource_version:
        return Wanted(Freshness.LATEST)
    return Wanted(Freshness.NOT_OLDER, revision) if revision else Wanted(Freshness.ANY)


def for_get(resource_version: str) -> Wanted:
    return _any_of(resource_version)


def for_list(
    resource_version: str, match: str, limit: int, continued: bool, *, send_initial: bool | None = None
) -> Wanted:
    errors: list[FieldError] = []
    if match:
        if not resource_version:
            errors.append(_forbidden_match("is forbidden unless resourceVersion is provided"))
        if continued:
            errors.append(_forbidden_match("is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and resource_version == "0":
            errors.append(_forbidden_match('"exact" is forbidden for resourceVersion "0"'))
    if send_initial is not None:
        errors.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if errors:
        raise _invalid(errors)
    if continued and resource_version not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    wanted = _any_of(resource_version)
    exact = match == "Exact" or (limit > 0 and not match)
    if exact and wanted.freshness is Freshness.NOT_OLDER:
        return Wanted(Freshness.EXACT, wanted.revision)
    return wanted


class WatchStart(NamedTuple):
    wanted: Wanted
    initial: bool  # send the present state as ADDED events first
    initial_end: bool  # … and mark where it ends with a bookmark


def for_watch(
    resource_version: str, match: str, send_initial: bool | None, bookmarks: bool, *, continued: bool = False
) -> WatchStart:
    """https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/3157-watch-list"""
    errors: list[FieldError] = []
    if send_initial is not None and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(forbidden_field("resourceVersionMatch", why))
    if match:
        if send_initial is None:
            errors.append(_forbidden_match("is forbidden for watch unless sendInitialEvents is provided"))
        if match != "NotOlderThan":
            errors.append(not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
        if continued:
            errors.append(_forbidden_match("is forbidden when continue is provided"))
    if errors:
        raise _invalid(errors)
    wanted = _any_of(resource_version)
    if send_initial:
        return WatchStart(wanted, True, bookmarks)
    if wanted.freshness is Freshness.NOT_OLDER:
        return WatchStart(Wanted(Freshness.EXACT, wanted.revision), False, False)
    return WatchStart(wanted, send_initial is None, False)


def too_large(wanted: int, current: int) -> Timeout:
    return Timeout(
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        {
            "retryAfterSeconds": 1,
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        },
    )


def too_old(wanted: int, oldest: int) -> Expired:
    return Expired(f"too old resource version: {wanted} ({oldest})")


def list_too_old() -> Expired:
    return Expired("The resourceVersion for the provided list is too old.")


def _forbidden_match(why: str) -> FieldError:
    return forbidden_field("resourceVersionMatch", f"resourceVersionMatch {why}")


def _invalid(errors: list[FieldError]) -> Invalid:
    return invalid_object("meta.k8s.io", "ListOptions", "", errors)
