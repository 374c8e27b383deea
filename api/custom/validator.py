"""Whether a value is what an OpenAPI v3 schema says, with upstream's words (kube-openapi's validation).

`compile` turns a schema into one closure per node, so that a check walks the value once. On updates what did not
change is not checked again, so that a schema which got stricter does not hold old objects hostage:
https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4008-crd-ratcheting
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from api import regex
from api.custom import formats
from api.custom.schema import Schema
from api.errors import FieldError, invalid, not_supported, required, too_long, too_many, type_invalid

NEW: Any = object()  # an old value that is not known
Errors = list[FieldError]
Check = Callable[[Any, Any, str], tuple[Errors, int]]
"""check(value, old, path) → what is wrong, and how many rules were looked at (the best of several alternatives is
the one that got furthest)."""
Rule = Callable[[Any, Any, str, Errors], int]
NOWHERE = "<nil>"  # where upstream says that alternatives failed
INT_OR_STRING = "x-kubernetes-int-or-string"


def compile(schema: Schema) -> Check:
    """What stands below is compiled when a value is first met there: large schemas are seldom used whole.

    ValueError, then or here, when a pattern is none.
    """
    wanted = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
    form = formats.known(schema.get("format", ""))
    nullable = bool(schema.get("nullable"))
    enum = schema.get("enum")
    rules: list[Rule] = [*_alternatives(schema), *_text(schema, form), *_number(schema)]
    rules += _list(schema)
    if enum:
        rules.append(_enum(enum))
    rules += _object(schema)

    def check(value: Any, old: Any, path: str) -> tuple[Errors, int]:
        errors: Errors = []
        if value is None:
            if wanted and not nullable:
                errors.append(_mistyped(path, ",".join(wanted), "null"))
            return errors, 1
        if old is not NEW and same(old, value):
            return errors, 1
        found = json_type(value)
        fits = not wanted or any(_is(value, found, kind) for kind in wanted)
        if not fits:
            if form and found != "string":
                errors.append(_mistyped(path, form.name, _go_format(found)))
            else:
                errors.append(_mistyped(path, ",".join(wanted), found))
        looked_at = 2
        for rule in rules:
            looked_at += rule(value, old, path, errors)
        return errors, looked_at

    return check


def _later(schema: Schema) -> Check:
    made: Check | None = None

    def check(value: Any, old: Any, path: str) -> tuple[Errors, int]:
        nonlocal made
        if made is None:
            made = compile(schema)
        return made(value, old, path)

    return check


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _is(value: Any, found: str, wanted: str) -> bool:
    if wanted == "number":
        return found in ("number", "integer")
    return found == wanted or (wanted == "integer" and found == "number" and value.is_integer())


def _go_format(found: str) -> str:
    return {"integer": "int64", "number": "double"}.get(found, "")


def _mistyped(path: str, wanted: str, found: str) -> FieldError:
    return type_invalid(path or NOWHERE, found, f'{path} in body must be of type {wanted}: "{found}"')


def number(value: float) -> str:
    """As Go prints a float64: 10, not 10.0."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else f"{value:g}"


# --- alternatives ------------------------------------------------------------------------------------------


def _alternatives(schema: Schema) -> list[Rule]:
    rules: list[Rule] = []
    if schema.get("anyOf"):
        rules.append(_any_of([compile(s) for s in schema["anyOf"]]))
    if schema.get("oneOf"):
        rules.append(_one_of([compile(s) for s in schema["oneOf"]]))
    if schema.get("allOf"):
        rules.append(_all_of([compile(s) for s in schema["allOf"]]))
    if schema.get("not") is not None:
        rules.append(_not(compile(schema["not"])))
    return rules


def _failed(path: str, why: str) -> FieldError:
    return invalid(NOWHERE, "", f'"{path}" must {why}')


def _best(results: list[tuple[Errors, int]]) -> Errors:
    return max(results, key=lambda result: result[1])[0]  # the first of equals


def _any_of(checks: list[Check]) -> Rule:
    def rule(value: Any, _: Any, path: str, errors: Errors) -> int:
        results = []
        for check in checks:
            results.append(check(value, NEW, path))
            if not results[-1][0]:
                return results[-1][1]
        errors += [_failed(path, "validate at least one schema (anyOf)"), *_best(results)]
        return 1

    return rule


def _one_of(checks: list[Check]) -> Rule:
    def rule(value: Any, _: Any, path: str, errors: Errors) -> int:
        results = [check(value, NEW, path) for check in checks]
        valid = [looked_at for wrong, looked_at in results if not wrong]
        if len(valid) == 1:
            return valid[0]
        found = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
        errors.append(_failed(path, f"validate one and only one schema (oneOf). {found}"))
        if not valid:
            errors += _best(results)
        return 1

    return rule


def _all_of(checks: list[Check]) -> Rule:
    def rule(value: Any, _: Any, path: str, errors: Errors) -> int:
        results = [check(value, NEW, path) for check in checks]
        failed = [wrong for wrong, _ in results if wrong]
        for wrong in failed:
            errors += wrong
        if failed:
            none = ". None validated" if len(failed) == len(results) else ""
            errors.append(_failed(path, f"validate all the schemas (allOf){none}"))
        return sum(looked_at for _, looked_at in results)

    return rule


def _not(check: Check) -> Rule:
    def rule(value: Any, _: Any, path: str, errors: Errors) -> int:
        if not check(value, NEW, path)[0]:
            errors.append(_failed(path, "not validate the schema (not)"))
        return 1

    return rule


# --- scalars -----------------------------------------------------------------------------------------------


def _text(schema: Schema, form: formats.Format | None) -> list[Rule]:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is None and shortest is None and not pattern and form is None:
        return []
    matcher = regex.compile(pattern) if pattern else None

    def rule(value: Any, _: Any, path: str, errors: Errors) -> int:
        if not isinstance(value, str):
            return 0
        if longest is not None and len(value) > longest:
            errors.append(too_long(path, longest))
        elif shortest is not None and len(value) < shortest:
            errors.append(invalid(path, value, f"{path} in body should be at least {shortest} chars long"))
        elif matcher and not matcher.search(value):
            errors.append(invalid(path, value, f"{path} in body should match '{pattern}'"))
        if form and not form.matches(value):
            shown = orjson.dumps(value).decode()
            errors.append(type_invalid(path, value, f"{path} in body must be of type {form.name}: {shown}"))
        return 1

    return [rule]


def _number(schema: Schema) -> list[Rule]:
    multiple, top, bottom = schema.get("multipleOf"), schema.get("maximum"), schema.get("minimum")
    if multiple is None and top is None and bottom is None:
        return []
    below, above = bool(schema.get("exclusiveMaximum")), bool(schema.get("exclusiveMinimum"))

    def rule(value: Any, _: Any, path: str, errors: Errors) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return 0

        def refuse(should: str) -> None:
            errors.append(invalid(path, value, f"{path} in body should {should}"))

        if multiple and not float(value / multiple).is_integer():
            refuse(f"be a multiple of {number(multiple)}")
        if top is not None and (value >= top if below else value > top):
            refuse(f"be less than {'' if below else 'or equal to '}{number(top)}")
        if bottom is not None and (value <= bottom if above else value < bottom):
            refuse(f"be greater than {'' if above else 'or equal to '}{number(bottom)}")
        return 1

    return [rule]


def _enum(allowed: list[Any]) -> Rule:
    shown = [v if isinstance(v, str) else orjson.dumps(v).decode() for v in allowed]

    def rule(value: Any, _: Any, path: str, errors: Errors) -> int:
        if not any(same(value, choice) for choice in allowed):
            errors.append(not_supported(path or NOWHERE, value, shown))
        return 1

    return rule


# --- lists and objects -------------------------------------------------------------------------------------


def _list(schema: Schema) -> list[Rule]:
    items = _later(schema["items"]) if isinstance(schema.get("items"), dict) else None
    fewest, most, unique = schema.get("minItems"), schema.get("maxItems"), schema.get("uniqueItems")
    if items is None and fewest is None and most is None and not unique:
        return []
    keys = schema.get("x-kubernetes-list-map-keys") if schema.get("x-kubernetes-list-type") == "map" else None

    def rule(value: Any, old: Any, path: str, errors: Errors) -> int:
        if not isinstance(value, list):
            return 0
        looked_at = 1
        if items is not None:
            before = _by_key(old, keys) if keys and isinstance(old, list) else {}
            for index, item in enumerate(value):
                known = before.get(key_of(item, keys), NEW) if before and keys else NEW
                wrong, more = items(item, known, f"{path}[{index}]")
                errors += wrong
                looked_at += more
        if fewest is not None and len(value) < fewest:
            errors.append(invalid(path, len(value), f"{path} in body should have at least {fewest} items"))
        if most is not None and len(value) > most:
            errors.append(too_many(path, len(value), most))
        return looked_at

    return [rule]


def key_of(item: Any, keys: list[str]) -> bytes:
    """What tells an item of a list of type map from the others."""
    return orjson.dumps(
        [item.get(key) for key in keys] if isinstance(item, dict) else item, option=orjson.OPT_SORT_KEYS
    )


def _by_key(items: list[Any], keys: list[str]) -> dict[bytes, Any]:
    return {key_of(item, keys): item for item in items}


def _object(schema: Schema) -> list[Rule]:
    properties = {name: _later(child) for name, child in (schema.get("properties") or {}).items()}
    given = schema.get("additionalProperties")
    extra = _later(given) if isinstance(given, dict) else None
    needed: list[str] = schema.get("required") or []
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    if not properties and extra is None and not needed and fewest is None and most is None:
        return []

    def rule(value: Any, old: Any, path: str, errors: Errors) -> int:
        if not isinstance(value, dict):
            return 0
        if fewest is not None and len(value) < fewest:
            errors.append(invalid(path, len(value), f"{path} in body should have at least {fewest} properties"))
            return 1
        if most is not None and len(value) > most:
            errors.append(too_many(path, len(value), most))
            return 1
        before: Mapping[str, Any] = old if isinstance(old, dict) else {}
        looked_at = 1
        for name, item in value.items():
            check = properties.get(name, extra)
            if check is not None:
                wrong, more = check(item, before.get(name, NEW), f"{path}.{name}" if path else name)
                errors += wrong
                looked_at += more
        errors += [required(f"{path}.{name}" if path else name) for name in needed if name not in value]
        return looked_at

    return [rule]
