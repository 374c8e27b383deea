"""`kubectl explain`: the documentation of a kind or field, from the server's OpenAPI document."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from api.registry import Resource
from kubectl.failures import CliError
from kubectl.session import Session, run

Schema = dict[str, Any]
_WIDTH = 80


def command(
    path: Annotated[str, typer.Argument(metavar="TYPE[.FIELD]...")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", help="Every field below, without descriptions")] = False,
    api_version: Annotated[str, typer.Option("--api-version", help="Of this group/version")] = "",
) -> None:
    if not path:
        raise CliError("You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete "
                       "list of supported resources.\n", bare=True)  # fmt: skip
    kind, *fields = path.split(".")

    async def verb(session: Session) -> None:
        if api_version:
            group, _, version = api_version.rpartition("/")
            rows = [r for r in (await session.catalog()).rows if (r.group, r.version) == (group, version)]
            resource = next((r for r in rows if kind.lower() in (r.plural, r.singular, *r.short_names)), None)
            if resource is None:
                raise CliError(f'couldn\'t find resource for "{api_version}, Kind={kind}"')
        else:
            try:
                resource = await session.resource(kind)
            except CliError as error:
                raise CliError(error.message, bare=True) from error
        document = await session.call("GET", f"/openapi/v3{resource.root}")
        print(explain(document["components"]["schemas"], resource, fields, recursive), end="")

    run(verb)


def explain(schemas: dict[str, Schema], resource: Resource, fields: list[str], recursive: bool) -> str:
    """The page for a field path of a kind. CliError when there is no such field."""
    schema = next((s for s in schemas.values() if _is(s, resource)), None)
    if schema is None:
        raise CliError(f"GVK {resource.group}/{resource.version}, Kind={resource.kind} not found in OpenAPI schema")
    field_type = ""
    described = schema
    for name in fields:
        properties = _resolve(schemas, schema).get("properties") or {}
        if name not in properties:
            raise CliError(f'field "{name}" does not exist')
        described, field_type = properties[name], type_name(schemas, properties[name])
        schema = element(schemas, described)
    lines = [f"GROUP:      {resource.group}"] if resource.group else []
    lines += [f"KIND:       {resource.kind}", f"VERSION:    {resource.version}", ""]
    if fields:
        lines += [f"FIELD: {fields[-1]} <{field_type}>", "", ""]
    lines.append("DESCRIPTION:")
    full = _resolve(schemas, schema)
    texts = dict.fromkeys(str(s["description"]) for s in (described, full) if s.get("description"))
    for text in texts or ["<empty>"]:
        lines += _wrapped(text, "    ")
    lines.append("    ")
    properties = full.get("properties") or {}
    if properties:
        lines.append("FIELDS:")
        lines += _fields(schemas, full, 1, recursive, ())
    return "\n".join(lines) + "\n\n"


def _is(schema: Schema, resource: Resource) -> bool:
    wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    return wanted in (schema.get("x-kubernetes-group-version-kind") or [])


def _resolve(schemas: dict[str, Schema], schema: Schema) -> Schema:
    for part in (schema, *(schema.get("allOf") or [])):
        if "$ref" in part:
            return schemas.get(part["$ref"].rsplit("/", 1)[-1], {})
    return schema


def element(schemas: dict[str, Schema], schema: Schema) -> Schema:
    """What a list or map holds; the schema itself for the rest."""
    full = _resolve(schemas, schema)
    if full.get("type") == "array":
        return element(schemas, full.get("items") or {})
    if isinstance(full.get("additionalProperties"), dict):
        return element(schemas, full["additionalProperties"])
    return full


def type_name(schemas: dict[str, Schema], schema: Schema) -> str:
    """`string`, `[]Container`, `map[string]string`, `Quantity`."""
    for part in (schema, *(schema.get("allOf") or [])):
        if "$ref" in part:
            return str(part["$ref"]).rsplit("/", 1)[-1].rsplit(".", 1)[-1]
    kind = schema.get("type", "Object")
    if kind == "array":
        return f"[]{type_name(schemas, schema.get('items') or {})}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map[string]{type_name(schemas, schema['additionalProperties'])}"
    return "Object" if kind == "object" else str(kind)


def _fields(
    schemas: dict[str, Schema], schema: Schema, level: int, recursive: bool, seen: tuple[int, ...]
) -> list[str]:
    required, indent = set(schema.get("required") or []), "  " * level
    lines: list[str] = []
    for name, field in sorted((schema.get("properties") or {}).items()):
        suffix = " -required-" if name in required else ""
        lines.append(f"{indent}{name}\t<{type_name(schemas, field)}>{suffix}")
        if not recursive:
            lines += [*_wrapped(str(field.get("description") or "<no description>"), indent + "  "), ""]
            continue
        inner = element(schemas, field)
        if id(inner) not in seen:
            lines += _fields(schemas, inner, level + 1, recursive, (*seen, id(inner)))
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines += textwrap.wrap(paragraph, _WIDTH - len(indent), break_on_hyphens=False, break_long_words=False) or [""]
    return [f"{indent}{line}" for line in lines]
