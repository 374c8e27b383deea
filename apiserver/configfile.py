"""Configuration files that flags name: one YAML or JSON document of a known kind, whose every field is known.

    document = read(path, {("apiserver.config.k8s.io/v1", "AdmissionConfiguration"): SCHEMA})

A kind is told by a JSON schema of its fields; apiVersion and kind need not be in it. Errors name the file and the
field, never a value: such files may hold keys. They are read once, when the server starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

from api.errors import BadRequest
from api.meta import Obj
from api.schemas import dotted
from apiserver import decode

Kinds = Mapping[tuple[str, str], Obj]
"""(apiVersion, kind) → the schema of an object's fields."""


class ConfigError(Exception):
    """A file that cannot be used, and why."""


def read(path: str, kinds: Kinds) -> Obj:
    """The document in `path`, with defaults left to the caller. ConfigError when it is not one of `kinds`."""
    return checked(document(path), kinds, path)


def document(path: str) -> Any:
    """What is in `path`, of any kind. ConfigError when it cannot be read."""
    try:
        return decode.document(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except BadRequest:
        raise ConfigError(f"{path}: must be one YAML document that gives no field twice") from None


def checked(given: Any, kinds: Kinds, where: str) -> Obj:
    """`given` as one of `kinds`. ConfigError, beginning with `where`, when it is none."""
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: must be an object")
    named = given.get("apiVersion"), given.get("kind")
    schema = next((kinds[known] for known in kinds if known == named), None)
    if schema is None:
        wanted = " or ".join(f"{kind} of {version}" for version, kind in kinds)
        raise ConfigError(f"{where}: must be {wanted}")
    fields = {**schema.get("properties", {}), "apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    closed = {"type": "object", **schema, "properties": fields, "additionalProperties": False}
    found = [
        f"{dotted(tuple(error.instance_path)) or 'object'}: {error.message}"
        for error in jsonschema_rs.validator_for(closed, mask="value").iter_errors(given)
    ]
    if found:
        raise ConfigError(f"{where}: {'; '.join(found)}")
    return given
