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

from api import objects
from api.errors import BadRequest, UnsupportedMedia
from api.meta import Obj
from api.protobuf import decode as protobuf
from api.registry import Resource
from apiserver.request import Request

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _YamlLoader(_Loader):  # type: ignore[misc]  # the C loader, where libyaml is there, has no types
    """YAML as JSON sees it: timestamps stay text."""


_YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"error decoding body: {error}") from error


def _yaml(body: bytes) -> Any:
    try:
        return yaml.load(body, _YamlLoader)  # a subclass of the safe loader
    except (yaml.YAMLError, ValueError) as error:
        raise BadRequest(f"error decoding body: {error}") from error


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
    if not body.strip():
        raise BadRequest("the body of the request is empty")
    data = raw(body, request.header(b"content-type"))
    if not isinstance(data, dict):
        raise BadRequest(f"couldn't get version/kind; json parse error: the body is not an object of kind {res.kind}")
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


def given_twice(request: Request, body: bytes, data: Any) -> list[str]:
    """What strict decoding says of fields that a text gives more than once; `data` has the last of them."""
    if request.query("fieldValidation") == objects.IGNORE:
        return []
    if not body.lstrip().startswith(b"{"):
        return [] if media_type(request.header(b"content-type")) not in _YAML else _lines_given_twice(body)
    if b"\\u0022" not in body and len(_NAME_END.findall(body)) == orjson.dumps(data).count(b'":'):
        return []  # as many names as there are in what was understood
    found: list[str] = []

    def look(value: Any, at: str) -> None:
        if isinstance(value, _Pairs):
            found.extend(f'duplicate field "{f"{at}.{name}" if at else name}"' for name in value.twice)
            for name, item in value.items():
                look(item, f"{at}.{name}" if at else name)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                look(item, f"{at}[{index}]")

    look(json.loads(body, object_pairs_hook=_pairs), "")
    return found


def _lines_given_twice(body: bytes) -> list[str]:
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

    look(yaml.compose(body, _YamlLoader))
    return ["yaml: unmarshal errors:\n" + "\n".join(lines)] if lines else []


def shaped(request: Request, res: Resource, data: Obj, twice: Sequence[str] = ()) -> Obj:
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
