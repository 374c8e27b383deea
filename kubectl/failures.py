"""How a failed command ends: what it prints on stderr, and its exit code. Wording follows upstream's CheckErr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import ApiError, Invalid, ServiceUnavailable, Timeout, Unauthorized


class CliError(Exception):
    """A failure found by kubectl itself: `error: …`. With `bare` the message stands alone."""

    def __init__(self, message: str, code: int = 1, *, bare: bool = False) -> None:
        super().__init__(message)
        self.message, self.code, self.bare = message, code, bare


class Failures(Exception):
    """Several failures of one command, each of which was survived."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = list(errors)


class Silent(Exception):
    """Exit with `code`; everything has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def with_source(error: ApiError, verb: str, source: str) -> ApiError:
    """The same error telling which file it is about: `error when creating "x.yaml": …`."""
    changed = type(error)(f'error when {verb} "{source}": {error.message}', error.details)
    changed.code, changed.reason = error.code, error.reason
    return changed


def raise_all(errors: Sequence[Exception]) -> None:
    """Nothing for none, the error itself for one."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Failures(errors)


def explain(error: Exception, host: str = "") -> tuple[str, int]:
    """(text for stderr, exit code)."""
    if isinstance(error, Silent):
        return "", error.code
    if isinstance(error, Failures):
        return "\n".join(_single(each, host) for each in error.errors), 1
    if isinstance(error, Invalid):
        return _invalid(error), 1
    if isinstance(error, CliError):
        return error.message if error.bare else f"error: {error.message}", error.code
    return _single(error, host), 1


def _single(error: Exception, host: str) -> str:
    if isinstance(error, CliError):
        return error.message if error.bare else f"error: {error.message}"
    if not isinstance(error, ApiError):
        return f"error: {error}"
    if isinstance(error, Unauthorized):
        return f"error: You must be logged in to the server ({error.message})"
    unreachable = _unreachable(error, host)
    if unreachable:
        return unreachable
    return f"Error from server ({error.reason}): {error.message}"


def _unreachable(error: ApiError, host: str) -> str:
    """ "" when the server did answer."""
    if isinstance(error, ServiceUnavailable) and error.message.startswith("no connection to "):
        why = error.message.split(": ", 1)[-1]
        if "Connect call failed" in why or "refused" in why:
            return f"The connection to the server {host} was refused - did you specify the right host or port?"
        return f"Unable to connect to the server: {why}"
    if isinstance(error, Timeout) and error.message.startswith("no answer from "):
        return f"Unable to connect to the server: {error.message}"
    return ""


def _invalid(error: Invalid) -> str:
    """`The Pod "x" is invalid: spec: Required value`; one line per cause when there are several."""
    details: dict[str, Any] = error.details
    causes = [f"{c.get('field', '')}: {c.get('message', '')}" for c in details.get("causes") or []]
    text = "The request is invalid"
    if details.get("kind") or details.get("name"):
        text = f'The {details.get("kind", "")} "{details.get("name", "")}" is invalid'
    elif not causes and error.message:
        text += f": {error.message}"
    causes = list(dict.fromkeys(causes))
    if not causes:
        return text
    if len(causes) == 1:
        return f"{text}: {causes[0]}"
    return f"{text}: \n" + "\n".join(f"* {cause}" for cause in causes)
