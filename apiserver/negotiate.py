"""Which form of an answer a client accepts (pure).

JSON is the object itself; Table is what `kubectl get` prints; PartialObjectMetadata is metadata alone.
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from api.errors import NotAcceptable

_FORMS = {
    "": "",
    "Table": "Table",
    "PartialObjectMetadata": "Metadata",
    "PartialObjectMetadataList": "Metadata",
}
JSON, YAML = "application/json", "application/yaml"
# Clients of typed languages put protobuf first and take what the Content-Type says. They get JSON.
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_MEDIA = {JSON: JSON, YAML: YAML, _PROTOBUF: JSON, "application/*": JSON, "*/*": JSON}


@dataclass(frozen=True, slots=True)
class Form:
    """`kind` is "" (the object), "Table" or "Metadata"."""

    kind: str = ""
    version: str = "v1"


OBJECT = Form()


@lru_cache(maxsize=512)
def choose(accept: str) -> Form:
    """The first acceptable entry, in order of preference. NotAcceptable when there is none."""
    return _best(accept, stream=False)[0]


@lru_cache(maxsize=128)
def choose_stream(accept: str) -> Form:
    """The same for a watch, which has no YAML."""
    return _best(accept, stream=True)[0]


@lru_cache(maxsize=128)
def media(accept: str) -> str:
    """JSON or YAML: how the answer is written. An error is always written."""
    try:
        return _best(accept, stream=False)[1]
    except NotAcceptable:
        return JSON


def _best(accept: str, *, stream: bool) -> tuple[Form, str]:
    if not accept.strip():
        return OBJECT, JSON
    for name, parameters in _entries(accept):
        media = _MEDIA.get(name)
        if media is None or (stream and media == YAML) or parameters.get("stream", "watch") != "watch":
            continue
        kind = parameters.get("as", "")
        if not kind:
            return OBJECT, media
        if kind in _FORMS and parameters.get("g") == "meta.k8s.io" and parameters.get("v") in ("v1", "v1beta1"):
            return Form(_FORMS[kind], parameters["v"]), media
    raise not_acceptable(JSON, _PROTOBUF) if stream else not_acceptable()


def not_acceptable(*offered: str) -> NotAcceptable:
    return NotAcceptable(
        "only the following media types are accepted: " + ", ".join(offered or (JSON, YAML, _PROTOBUF))
    )


@lru_cache(maxsize=128)
def wants_aggregated_discovery(accept: str) -> bool:
    for media, parameters in _entries(accept):
        if media != "application/json":
            continue
        if not parameters.get("as"):
            return False
        if parameters.get("as") == "APIGroupDiscoveryList" and parameters.get("v") == "v2":
            return parameters.get("g") == "apidiscovery.k8s.io"
    return False


@lru_cache(maxsize=128)
def first_of(accept: str, offered: tuple[str, ...]) -> str | None:
    """The offered media type that a client likes best; the first one when it likes all alike."""
    for media, _ in _entries(accept.strip() or "*/*"):
        for each in offered:
            if media in (each, "*/*", each.partition("/")[0] + "/*"):
                return each
    return None


def _entries(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, by descending q, else in the order given."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for entry in accept.split(","):
        media, *rest = [piece.strip() for piece in entry.split(";")]
        parameters: dict[str, str] = {}
        for piece in rest:
            key, _, value = piece.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0:
            found.append((quality, media.lower(), parameters))
    found.sort(key=lambda e: -e[0])
    return [(media, parameters) for _, media, parameters in found]
