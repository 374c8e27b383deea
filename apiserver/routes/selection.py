"""The selectors of a list, watch or deletecollection."""

from __future__ import annotations

from api.registry import Resource
from api.selectors import EVERYTHING, FieldSelector, Selector, parse_fields, parse_labels
from apiserver.request import Request

_ALL = FieldSelector()


def of(request: Request, res: Resource) -> tuple[Selector, FieldSelector]:
    """BadRequest when malformed or when the kind does not support a field."""
    if not request.scope["query_string"]:
        return EVERYTHING, _ALL
    labels, fields = request.query("labelSelector"), request.query("fieldSelector")
    return (
        parse_labels(labels) if labels else EVERYTHING,
        parse_fields(fields, res.supports_field) if fields else _ALL,
    )
