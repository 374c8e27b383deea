"""Every error an API call can end in, and its wire form.

    ApiError                    any failure, carries a metav1.Status
    ├── BadRequest        400   the request cannot be understood
    ├── Unauthorized      401   no valid credentials
    ├── Forbidden         403   valid credentials without a grant
    ├── NotFound          404   no such object or path
    ├── MethodNotAllowed  405   the verb is not served on this resource
    ├── NotAcceptable     406   no representation the client accepts
    ├── AlreadyExists     409   create of a name that is taken
    ├── Conflict          409   the object changed since it was read
    ├── Expired           410   the resourceVersion or continue token is compacted
    ├── EntityTooLarge    413   body over the limit
    ├── UnsupportedMedia  415   body in a format we do not read
    ├── Invalid           422   the object breaks a rule; details.causes name the fields
    ├── TooManyRequests   429   come back after details.retryAfterSeconds
    ├── InternalError     500   our fault
    ├── Unexplained       500   somebody else's fault, in their words
    ├── ServiceUnavailable 503  a part we need (etcd, a node) is away
    └── Timeout           504   no answer in time; the write may have happened

Codes, reasons and message wording follow k8s.io/apimachinery/pkg/api/errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class ApiError(Exception):
    """A failure with a Status. Subclasses fix `code` and `reason`."""

    code = 500
    reason = "InternalError"

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})

    def status(self) -> dict[str, Any]:
        """The metav1.Status object that tells this error to a client."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = {name: value for name, value in self.details.items() if value != ""}
        body["code"] = self.code
        return body


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details)


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Expired(ApiError):
    code, reason = 410, "Expired"


class EntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMedia(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class Unexplained(ApiError):
    """A failure that upstream passes on as it is: kubectl prints it without a reason."""

    code, reason = 500, ""


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


_BY_REASON: dict[str, type[ApiError]] = {
    cls.reason: cls
    for cls in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        Expired,
        EntityTooLarge,
        UnsupportedMedia,
        Invalid,
        TooManyRequests,
        InternalError,
        ServiceUnavailable,
        Timeout,
    )
}
_BY_REASON |= {"Gone": Expired, "ServerTimeout": Timeout}  # fmt: skip

_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 405: MethodNotAllowed,
    406: NotAcceptable, 409: Conflict, 410: Expired, 413: EntityTooLarge, 415: UnsupportedMedia,
    422: Invalid, 429: TooManyRequests, 503: ServiceUnavailable, 504: Timeout,
}  # fmt: skip


def from_status(status: Mapping[str, Any], code: int) -> ApiError:
    """The error that a server's Status (or a bare body with HTTP `code`) stands for."""
    cls = _BY_REASON.get(str(status.get("reason", ""))) or _BY_CODE.get(code, ApiError)
    error = cls(str(status.get("message") or f"the server answered with HTTP status {code}"))
    error.details = dict(status.get("details") or {})
    if cls is ApiError:
        error.code = code
        error.reason = str(status.get("reason") or "Unknown")
    return error


def _qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> NotFound:
    """`pods "web" not found`."""
    return NotFound(f'{_qualified(group, plural)} "{name}" not found', {"name": name, "group": group, "kind": plural})


def already_exists(group: str, plural: str, name: str) -> AlreadyExists:
    return AlreadyExists(
        f'{_qualified(group, plural)} "{name}" already exists', {"name": name, "group": group, "kind": plural}
    )


def conflict(group: str, plural: str, name: str, why: str | None = None) -> Conflict:
    """`why` defaults to upstream's optimistic lock message."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    return Conflict(
        f'Operation cannot be fulfilled on {_qualified(group, plural)} "{name}": {why}',
        {"name": name, "group": group, "kind": plural},
    )


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule of one field, as k8s.io/apimachinery/pkg/util/validation/field prints it.

    `type` is one of FieldValueRequired, FieldValueInvalid, FieldValueDuplicate, FieldValueForbidden,
    FieldValueNotSupported, FieldValueNotFound, FieldValueTooLong, FieldValueTooMany, FieldValueTypeInvalid.
    """

    type: str
    field: str
    message: str  # the whole text after "field: ", e.g. `Invalid value: 0: must be between 1 and 65535`

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def _shown(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return json.dumps("null" if value is None else value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return str(value)


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {detail}")


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", field, f"Invalid value: {_shown(value)}: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, found: int, limit: int) -> FieldError:
    items = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", field, f"Too many: {found}: must have at most {limit} {items}")


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")


def not_supported(field: str, value: Any, allowed: Sequence[str]) -> FieldError:
    shown = ", ".join(_shown(a) for a in allowed)
    return FieldError("FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {shown}")


def not_found_field(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {_shown(value)}")


def unexplained(message: str) -> BadRequest:
    """What upstream answers without a reason (and with 500), although it is the client's doing: clients print the
    message alone."""
    error = BadRequest(message)
    error.reason = ""
    return error


def rejected() -> Invalid:
    """Upstream's answer to a patch that cannot be applied; it says no more."""
    return Invalid("the server rejected our request due to an error in our request")


def invalid_object(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> Invalid:
    """`Pod "web" is invalid: spec.containers: Required value`, with one cause per field."""
    unique = list(dict.fromkeys(errors))
    shown = str(unique[0]) if len(unique) == 1 else "[" + ", ".join(str(e) for e in unique) + "]"
    qualified = f"{kind}.{group}" if group else kind
    return Invalid(
        f'{qualified} "{name}" is invalid: {shown}',
        {
            "name": name,
            "group": group,
            "kind": kind,
            "causes": [{"reason": e.type, "message": e.message, "field": e.field} for e in unique],
        },
    )
