"""From a request body to an object, strictly or not.

Formats are a table: another one is a row. Unknown fields are dropped, and told of as `fieldValidation` asks:
Strict refuses, Warn (the default) warns, Ignore is silent.
https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import yaml

from api import documents, objects
from api.documents import DEEPEST, TOO_DEEP, DocumentError
from api.errors import BadRequest, UnsupportedMedia
from api.meta import Obj
from api.objects import Finding
from api.protobuf import decode as protobuf
from api.registry import Resource
from api.schemas import Path, dotted, json_kind
from apiserver.request import Request


def check_depth(data: Any) -> None:
    """BadRequest for what is nested deeper than any object has a reason to be."""
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise BadRequest(f"error decoding body: {TOO_DEEP}")
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]


def json_of(body: bytes) -> Any:
    """JSON of a depth that can be worked with. ValueError when it is none."""
    data = orjson.loads(body)
    if isinstance(data, dict | list) and body.count(b"{") + body.count(b"[") > DEEPEST:
        check_depth(data)
    return data


_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_SHOWN = 30  # bytes of a body that could not be read


class _NotJson(BadRequest):
    """Worded as Go's decoder does."""


def _json(body: bytes) -> Any:
    try:
        return json_of(body)
    except orjson.JSONDecodeError as error:
        rest = error.doc[error.pos :]
        if not rest or not body.strip():
            raise _NotJson("unexpected end of JSON input") from error
        raise _NotJson(f"invalid character '{rest[0]}' looking for beginning of value") from error


def _unrecognized(res: Resource, body: bytes, why: str) -> BadRequest:
    """Upstream's transformDecodeError, for what names no kind."""
    shown = body[:_SHOWN].decode(errors="replace") if body.startswith(b"{") else body[:_SHOWN].hex()
    summary = (shown + (" ..." if len(body) > _SHOWN else "")) or "<empty>"
    return BadRequest(
        f"the object provided is unrecognized (must be of type {res.kind}): couldn't get version/kind; "
        f"json parse error: {why} ({summary})"
    )


def _yaml(body: bytes) -> Any:
    try:
        return documents.load(body)
    except DocumentError as error:
        raise BadRequest(f"error decoding body: {error}") from error


def document(body: bytes) -> Any:
    """A YAML or JSON document that gives no field twice. BadRequest when it is none."""
    data = _yaml(body)
    if twice := _lines_given_twice(body):
        raise BadRequest(twice[0][1])
    return data


_YAML = ("application/yaml", "application/apply-patch+yaml")
_VALIDATIONS = (objects.STRICT, objects.WARN, objects.IGNORE)
_FORMATS: dict[str, Callable[[bytes], Any]] = {
    "application/json": _json,
    "application/yaml": _yaml,
    "application/vnd.kubernetes.protobuf": protobuf.decode,
}


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def raw(body: bytes, content_type: str) -> Any:
    """The body as plain data. UnsupportedMedia for a format we do not read."""
    media = media_type(content_type) or "application/json"
    load = _FORMATS.get(media)
    if load is None:
        raise UnsupportedMedia(
            f"the body of the request was in an unknown format ({media}) - accepted media types include: "
            + ", ".join(_FORMATS)
        )
    return load(body)


async def read_object(request: Request, res: Resource) -> Obj:
    """The body as an object of `res`, with apiVersion and kind set and its shape checked."""
    body = await request.body()
    try:
        data = raw(body, request.header(b"content-type"))
    except _NotJson as error:
        raise _unrecognized(res, body, str(error)) from error
    if not isinstance(data, dict):
        raise _unrecognized(res, body, f"json: cannot unmarshal {json_kind(data)} into Go value of type {_TYPE_META}")
    return shaped(request, res, data, given_twice(request, body, data))


_NAME_END = re.compile(rb'"\s*:')


class _Pairs(dict[str, Any]):
    """A JSON object, and the names it gives more than once."""

    twice: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> _Pairs:
    found = _Pairs(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        found.twice = tuple(name for name in found if names.count(name) > 1)
    return found


def given_twice(request: Request, body: bytes, data: Any) -> list[Finding]:
    """What strict decoding says of fields that a text gives more than once; `data` has the last of them."""
    if request.query("fieldValidation") == objects.IGNORE:
        return []
    if not body.lstrip().startswith(b"{"):
        return [] if media_type(request.header(b"content-type")) not in _YAML else _lines_given_twice(body)
    if b"\\u0022" not in body and len(_NAME_END.findall(body)) == orjson.dumps(data).count(b'":'):
        return []  # as many names as there are in what was understood
    found: list[Finding] = []

    def look(value: Any, at: Path) -> None:
        if isinstance(value, _Pairs):
            found.extend(((*at, name), f'duplicate field "{dotted((*at, name))}"') for name in value.twice)
            for name, item in value.items():
                look(item, (*at, name))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                look(item, (*at, index))

    try:
        look(json.loads(body, object_pairs_hook=_pairs), ())
    except ValueError:
        return _lines_given_twice(body)  # YAML in braces
    return found


def _lines_given_twice(body: bytes) -> list[Finding]:
    """The same of YAML, which upstream's decoder tells by lines."""
    lines: list[str] = []

    def look(node: Any) -> None:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    lines.append(f'  line {key.start_mark.line + 1}: key "{key.value}" already set in map')
                seen.add(key.value if isinstance(key.value, str) else "")
                look(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                look(item)

    look(yaml.compose(body, documents.Loader))
    return [((), "yaml: unmarshal errors:\n" + "\n".join(lines))] if lines else []


def shaped(request: Request, res: Resource, data: Obj, twice: Sequence[Finding] = ()) -> Obj:
    """`data` as an object of `res`: its kind and shape checked; unknown fields, and those given `twice`, refused or
    warned of as asked (`twice` as strict decoding words it).

    What is missing is left to validation, which knows defaults.
    """
    api_version = data.setdefault("apiVersion", res.api_version)
    kind = data.setdefault("kind", res.kind)
    if (api_version, kind) != (res.api_version, res.kind):
        raise BadRequest(
            f"the API version in the data ({api_version}, Kind={kind}) does not match the expected API version "
            f"({res.api_version}, Kind={res.kind})"
        )
    validation = request.query("fieldValidation") or objects.WARN
    if validation not in _VALIDATIONS:
        raise BadRequest(
            f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        )
    obj, warnings = objects.decode(res, data, validation, twice)
    request.warnings += warnings
    return obj


def check_names(obj: Obj, namespace: str, name: str) -> None:
    """Fill namespace and name in from the path, or refuse an object that says otherwise."""
    metadata: dict[str, Any] = obj["metadata"]
    if namespace:
        given = metadata.setdefault("namespace", namespace) or namespace
        metadata["namespace"] = namespace
        if given != namespace:
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata.pop("namespace", None)
    if name:
        given = metadata.get("name")
        if not given:
            metadata["name"] = name
        elif given != name:
            raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")
