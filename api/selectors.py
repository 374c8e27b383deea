"""Label and field selectors: from their text or object form to a predicate.

Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.errors import BadRequest

_NAME = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_DNS1123_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_TOKEN = re.compile(r"\s*(==|!=|=|!|<|>|\(|\)|,|[^\s=!<>(),]+)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """`key operator values`; operator is one of In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        if value is None or not _is_integer(value):
            return False
        return int(value) > int(self.values[0]) if self.operator == "Gt" else int(value) < int(self.values[0])

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "In":
                return f"{self.key}={values}" if len(self.values) == 1 else f"{self.key} in ({values})"
            case "NotIn":
                return f"{self.key}!={values}" if len(self.values) == 1 else f"{self.key} notin ({values})"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
        return f"{self.key}{'>' if self.operator == 'Gt' else '<'}{values}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements. With none it matches everything; `nothing` matches no object."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(r.matches(labels) for r in self.requirements)

    @property
    def is_everything(self) -> bool:
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def _is_integer(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", text))


def is_qualified_name(text: str) -> bool:
    """A label or annotation key: an optional DNS subdomain prefix, `/`, a name of at most 63 characters."""
    prefix, slash, rest = text.rpartition("/")
    if slash and (not prefix or len(prefix) > 253 or not _DNS1123_SUBDOMAIN.match(prefix)):
        return False
    return len(rest) <= 63 and bool(_NAME.match(rest))


def is_label_value(text: str) -> bool:
    return text == "" or (len(text) <= 63 and bool(_NAME.match(text)))


def parse_labels(text: str) -> Selector:
    """`a=b,c!=d,e in (f,g),h,!i`. BadRequest when malformed."""
    tokens = _tokens(text)
    requirements: list[Requirement] = []
    position = 0
    while position < len(tokens):
        requirement, position = _requirement(tokens, position, text)
        requirements.append(requirement)
        if position < len(tokens):
            if tokens[position] != ",":
                raise _malformed(text, f"found '{tokens[position]}', expected: ',' or 'end of string'")
            position += 1
            if position == len(tokens):
                raise _malformed(text, "found '', expected: identifier after ','")
    return Selector(tuple(sorted(requirements, key=lambda r: r.key)))


def _tokens(text: str) -> list[str]:
    tokens, position, text = [], 0, text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(text, f"unexpected character at {position}")
        tokens.append(match[1])
        position = match.end()
    return tokens


def _requirement(tokens: list[str], at: int, text: str) -> tuple[Requirement, int]:
    def token(index: int) -> str:
        return tokens[index] if index < len(tokens) else ""

    if token(at) == "!":
        return Requirement(_checked_key(token(at + 1), text), "DoesNotExist"), at + 2
    key = _checked_key(token(at), text)
    operator = token(at + 1)
    if operator in ("", ","):
        return Requirement(key, "Exists"), at + 1
    if operator in ("=", "==", "!=", ">", "<"):
        has_value = token(at + 2) not in ("", ",")
        value = token(at + 2) if has_value else ""
        if operator in "<>":
            if not _is_integer(value):
                raise _malformed(text, "for 'Gt', 'Lt' operators, the value must be an integer")
            return Requirement(key, "Gt" if operator == ">" else "Lt", (value,)), at + 3
        _check_value(value, key, text)
        return Requirement(key, "NotIn" if operator == "!=" else "In", (value,)), at + (3 if has_value else 2)
    if operator in ("in", "notin"):
        if token(at + 2) != "(":
            raise _malformed(text, f"found '{token(at + 2)}', expected: '('")
        values: list[str] = []
        position, pending = at + 3, ""
        while token(position) not in (")", ""):
            if token(position) == ",":
                values.append(pending)
                pending = ""
            else:
                pending = token(position)
            position += 1
        if token(position) != ")":
            raise _malformed(text, "found '', expected: ',' or ')'")
        values.append(pending)
        for value in values:
            _check_value(value, key, text)
        return Requirement(key, "In" if operator == "in" else "NotIn", tuple(values)), position + 1
    raise _malformed(text, f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _checked_key(key: str, text: str) -> str:
    if not is_qualified_name(key):
        raise _malformed(text, f'key: Invalid value: "{key}": name part must consist of alphanumeric '
                               "characters, '-', '_' or '.', and must start and end with an alphanumeric "
                               "character")  # fmt: skip
    return key


def _check_value(value: str, key: str, text: str) -> None:
    if not is_label_value(value):
        raise _malformed(text, f'values[0][{key}]: Invalid value: "{value}": a valid label must be an empty '
                               "string or consist of alphanumeric characters, '-', '_' or '.', and must "
                               "start and end with an alphanumeric character")  # fmt: skip


def _malformed(text: str, why: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {why} in {text!r}")


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """A metav1.LabelSelector: None selects nothing, {} selects everything. ValueError on a bad operator."""
    if selector is None:
        return NOTHING
    requirements = [Requirement(k, "In", (v,)) for k, v in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        operator = expression["operator"]
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            raise ValueError(f"{operator!r} is not a valid label selector operator")
        requirements.append(Requirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return Selector(tuple(sorted(requirements, key=lambda r: r.key)))


def from_match_labels(labels: Mapping[str, str] | None) -> Selector:
    """A plain map, as in Service.spec.selector: None and {} select nothing."""
    return from_label_selector({"matchLabels": dict(labels)}) if labels else NOTHING


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    field: str
    equal: bool
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A conjunction of `field=value` and `field!=value` over a flat map of an object's selectable fields."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(r.field, "") == r.value) == r.equal for r in self.requirements)

    @property
    def is_everything(self) -> bool:
        return not self.requirements

    def exact(self, field: str) -> str | None:
        """The value that `field` is required to equal, if any."""
        return next((r.value for r in self.requirements if r.field == field and r.equal), None)


def field_terms(text: str) -> list[str]:
    """What a field selector is made of: commas part them, but for those that are escaped."""
    return [term for term in re.split(r"(?<!\\),", text) if term]


def parse_fields(
    text: str, supported: Callable[[str], bool], refusal: str = "field label not supported: {}"
) -> FieldSelector:
    """`metadata.name=a,spec.nodeName!=b`. BadRequest when malformed or when a field is not supported."""
    requirements: list[FieldRequirement] = []
    for term in field_terms(text):
        match = re.match(r"^(.*?)(?<!\\)(==|!=|=)(.*)$", term, re.DOTALL)
        if match is None:
            raise BadRequest(f"invalid selector: '{term}'; can't understand '{term}'")
        field, operator, value = match.groups()
        if not supported(field):
            raise BadRequest(refusal.format(field))
        value = re.sub(r"\\([\\,=])", r"\1", value)
        requirements.append(FieldRequirement(field, operator != "!=", value))
    return FieldSelector(tuple(requirements))
