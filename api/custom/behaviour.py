"""The hooks of a custom kind, made of its schema: defaults on the way in, every rule of the schema on the check.

What upstream's custom resource strategy does, in its order (apiextensions-apiserver, registry/customresource).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from api.cel.where import has_rules
from api.custom import defaulting, paths
from api.custom.embedded import embedded_metadata
from api.custom.schema import CustomSchema, Schema
from api.custom.sets import duplicates
from api.custom.validator import NEW, NOWHERE, Check, compile
from api.errors import FieldError, invalid
from api.meta import Obj
from api.registry import Cells, Column, Hooks
from api.validation import Errors

if TYPE_CHECKING:
    from api.cel.rules import RuleSet

_INT32 = (1 << 31) - 1
# After these the values may have shapes that no rule was written for.
_BLOCKING = frozenset(("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"))
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


def hooks_of(custom: CustomSchema, columns: tuple[Column, ...], cells: Cells) -> Hooks:
    behaviour = _Behaviour(custom)
    return Hooks(
        default=behaviour.default,
        validate=behaviour.validate,
        validate_status=behaviour.validate_status,
        columns=columns,
        cells=cells,
    )


class _Behaviour:
    def __init__(self, custom: CustomSchema) -> None:
        self._custom = custom

    @property
    def _schema(self) -> Schema:
        return self._custom.schema

    @cached_property
    def _check(self) -> Check:
        return compile(self._schema)

    @property
    def _status(self) -> Schema:
        found: Schema = (self._schema.get("properties") or {}).get("status") or {}
        return found

    @cached_property
    def _check_status(self) -> Check:
        return compile(self._status)

    @cached_property
    def _rules(self) -> RuleSet | None:
        if not has_rules(self._schema):
            return None
        from api.cel.rules import compile_rules  # noqa: PLC0415  # CEL is loaded by those alone that have rules to run

        return compile_rules(self._schema)

    def default(self, obj: Obj) -> None:
        if not self._custom.preserves_unknown:
            defaulting.default(obj, self._schema)

    def validate(self, new: Obj, old: Obj | None) -> Errors:
        errors, _ = self._check(new, NEW if old is None else old, "")
        errors += self._scale(new)
        errors += self._beyond(self._schema, new, old, "")
        return errors + self._broken_rules(new, old, errors)

    def validate_status(self, new: Obj, old: Obj | None) -> Errors:
        """A change of the status alone: what stands elsewhere is not asked again."""
        errors: Errors = []
        if "status" in new:
            before = NEW if old is None else old.get("status", NEW)
            errors = self._check_status(new["status"], before, "status")[0]
        errors += self._scale(new, ("statusReplicasPath", "labelSelectorPath"))
        errors += self._beyond(self._status, new.get("status"), (old or {}).get("status"), "status")
        return errors + self._broken_rules(new, old, errors)

    def _broken_rules(self, new: Obj, old: Obj | None, found: Errors) -> Errors:
        """The CEL rules, of the whole object whichever part is written."""
        if self._rules is None:
            return []
        note = blocked(found)
        return [note] if note else self._rules.validate(new, old)

    def _beyond(self, schema: Schema, new: Any, old: Any, at: str) -> Errors:
        """Embedded resources, sets and maps, of the object or of its status."""
        errors = embedded_metadata(new, schema, at)
        twice = duplicates(new, schema, at)
        if twice and not (old is not None and duplicates(old, schema, at)):
            errors += twice
        return errors

    def _scale(self, obj: Obj, which: tuple[str, ...] = ("specReplicasPath", "statusReplicasPath",
                                                         "labelSelectorPath")) -> Errors:  # fmt: skip
        errors: Errors = []
        for name in which:
            path = self._custom.scale.get(name)
            value = paths.get(obj, path) if path else None
            if path is None or value is None:
                continue
            if name == "labelSelectorPath":
                if not isinstance(value, str):
                    errors.append(invalid(path, "", _accessor(path, value, "string")))
            elif isinstance(value, bool) or not isinstance(value, int):
                errors.append(invalid(path, 0, _accessor(path, value, "int64")))
            elif value < 0:
                errors.append(invalid(path, value, "should be a non-negative integer"))
            elif value > _INT32:
                errors.append(invalid(path, value, f"should be less than or equal to {_INT32}"))
        return errors


def _accessor(path: str, value: Any, wanted: str) -> str:
    found = {str: "string", bool: "bool", int: "int64", float: "float64"}.get(type(value), "map[string]interface {}")
    return f"{path} accessor error: {value} is of the type {found}, expected {wanted}"


def blocked(errors: Errors) -> FieldError | None:
    """The note that rules were left out, when something is wrong that a rule could stumble over."""
    if any(error.type in _BLOCKING for error in errors):
        return invalid(NOWHERE, None, _UNCHECKED)
    return None
