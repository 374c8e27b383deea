"""The selectors of a list, watch or deletecollection."""

from __future__ import annotations

from api.errors import BadRequest
from api.registry import Resource
from api.selectors import EVERYTHING, FieldRequirement, FieldSelector, Selector, parse_fields, parse_labels
from apiserver.request import Request

_ALL = FieldSelector()
# Of kinds without selectable fields of their own, as k8s.io/apimachinery/pkg/runtime/conversion.go says it.
_ONLY_METADATA = '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def of(request: Request, res: Resource) -> tuple[Selector, FieldSelector]:
    """BadRequest when malformed or when the kind does not support a field."""
    if not request.scope["query_string"] and not request.info.name:
        return EVERYTHING, _ALL
    labels, fields = request.query("labelSelector"), request.query("fieldSelector")
    selected = _fields(fields, res) if fields else _ALL
    if name := request.info.name:  # /watch/ paths can end in one
        if selected.is_everything:
            selected = FieldSelector((FieldRequirement("metadata.name", True, name),))
        elif selected.exact("metadata.name") != name:
            raise BadRequest("fieldSelector metadata.name doesn't match requested name")
    return parse_labels(labels) if labels else EVERYTHING, selected


def _fields(text: str, res: Resource) -> FieldSelector:
    if res.fields or res.custom is not None:
        return parse_fields(text, res.supports_field)
    return parse_fields(text, res.supports_field, _ONLY_METADATA)
