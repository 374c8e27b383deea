"""Continue tokens, in upstream's format: unpadded URL-safe base64 of {"v","rv","start"}.

`start` is the first key that may be on the next page, relative to the collection; `rv` the revision that all pages
of one list show, or -1 to go on with whatever is there now (the token that accompanies a 410).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import orjson

from api.errors import BadRequest, Expired

_VERSION = "meta.k8s.io/v1"


class Position(NamedTuple):
    revision: int  # -1 = not consistent with the pages before
    start: str


class ContinueExpired(Expired):
    """410 with a token that continues inconsistently, for a client that prefers that to starting again."""

    def __init__(self, start: str) -> None:
        super().__init__(
            "The provided continue parameter is too old to display a consistent list result. You can start a new "
            "list without the continue parameter, or use the continue token in this response to retrieve the "
            "remainder of the results. Continuing with the provided token results in an inconsistent list - "
            "objects that were created, modified, or deleted between the time the first chunk was returned and "
            "now may show up in the list."
        )
        self.token = encode(Position(-1, start))

    def status(self) -> dict[str, Any]:
        return {**super().status(), "metadata": {"continue": self.token}}


def encode(position: Position) -> str:
    body = orjson.dumps({"v": _VERSION, "rv": position.revision, "start": position.start})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode(token: str) -> Position:
    """BadRequest with upstream's wording."""
    try:
        padded = token.rstrip("=") + "=" * (-len(token.rstrip("=")) % 4)
        body = orjson.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise _not_valid(str(error)) from error
    if not isinstance(body, dict):
        raise _not_valid("not an object")
    if body.get("v") != _VERSION:
        raise _not_valid(f'server does not recognize this encoded version "{body.get("v", "")}"')
    revision, start = body.get("rv"), body.get("start")
    if not isinstance(revision, int) or isinstance(revision, bool) or revision == 0 or revision < -1:
        raise _not_valid(f"incorrect encoded start resourceVersion (version {_VERSION})")
    if not isinstance(start, str) or not start:
        raise _not_valid(f"encoded start key empty (version {_VERSION})")
    if start.startswith("/") or ".." in start.split("/"):
        raise _not_valid(f"{start}")
    return Position(revision, start)


def after(key: str) -> str:
    """The smallest key behind `key`."""
    return key + "\0"


def _not_valid(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")
