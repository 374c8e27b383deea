"""Whole resources inside custom objects (x-kubernetes-embedded-resource) name what they are, like any other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from api.custom.pruning import embedded_resources
from api.custom.schema import Schema
from api.errors import invalid, required
from api.validation import Errors, mixed_case, object_meta, path_segment


def embedded_metadata(value: Any, schema: Schema, at: str) -> Errors:
    errors: Errors = []
    for path, inner in embedded_resources(value, schema):
        if not path and not at:
            continue  # the object itself
        field = at
        for step in path:
            field += f"[{step}]" if isinstance(step, int) else f".{step}" if field else step
        for name in ("apiVersion", "kind"):
            text = inner.get(name)
            if text is None or text == "":
                errors.append(required(f"{field}.{name}"))
            elif not isinstance(text, str):
                errors.append(invalid(f"{field}.{name}", text, "must be a string"))
            elif name == "kind":
                errors += mixed_case(text, f"{field}.kind")
        metadata = inner.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            errors.append(invalid(f"{field}.metadata", metadata, "must be an object"))
        elif metadata:
            wrong = object_meta(
                {"name": "unnamed", **metadata}, namespaced=bool(metadata.get("namespace")), name_rule=path_segment
            )
            errors += [replace(error, field=f"{field}.{error.field}") for error in wrong]
    return errors
