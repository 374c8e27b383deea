"""The examples of https://kubernetes.io/docs/reference/api/jsonpath/ and the edges of client-go's dialect."""

from __future__ import annotations

from typing import Any

import pytest

from api.jsonpath import JSONPathError, Template, relaxed

DOCUMENT: dict[str, Any] = {
    "kind": "List",
    "items": [
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
            "status": {
                "capacity": {"cpu": "4"},
                "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}],
            },
        },
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.2"},
            "status": {
                "capacity": {"cpu": "8"},
                "addresses": [
                    {"type": "LegacyHostIP", "address": "127.0.0.2"},
                    {"type": "another", "address": "127.0.0.3"},
                ],
            },
        },
    ],
    "users": [
        {"name": "myself", "user": {}},
        {"name": "e2e", "user": {"username": "admin", "password": "secret"}},
    ],
    "count": 3,
    "ready": True,
    "nested": [[1, 2], [3]],
}

RENDERED = [
    ("plain text", "kind is {.kind}", "kind is List"),
    ("no braces is text", ".kind", ".kind"),
    ("quoted key", "{['kind']}", "List"),
    ("recursive descent", "{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
    ("wildcard", "{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
    ("union of paths", "{.items[*]['metadata.name', 'status.capacity']}",
     '127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}'),
    ("union of indices", "{.users[0,1].name}", "myself e2e"),
    ("filter", '{.users[?(@.name=="e2e")].user.password}', "secret"),
    ("filter on absence", "{.users[?(@.user.password)].name}", "e2e"),
    ("filter with !=", '{.items[0].status.addresses[?(@.type!="x")].address}', "127.0.0.1"),
    ("range", "{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}] {end}", "[127.0.0.1, 4] [127.0.0.2, 8] "),
    ("nested range", "{range .items[*]}{range .status.addresses[*]}{.type};{end}|{end}",
     "LegacyHostIP;|LegacyHostIP;another;|"),
    ("range over nothing", "a{range .none[*]}x{end}b", "ab"),
    ("escaped dot", r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "127.0.0.1"),
    ("escaped dot in a quoted key", r"{.items[0].metadata.labels['kubernetes\.io/hostname']}", "127.0.0.1"),
    ("slice", "{.users[0:1].name}", "myself"),
    ("last", "{.users[-1].name}", "e2e"),
    ("from the end", "{.users[-2:].name}", "myself e2e"),
    ("step", "{.users[0:2:2].name}", "myself"),
    ("empty slice", "{.users[1:1].name}", ""),
    ("number", "{.count}", "3"),
    ("boolean", "{.ready}", "true"),
    ("newline", '{.kind}{"\\n"}', "List\n"),
    ("single quoted text", "{.kind}{'\\t'}{.count}", "List\t3"),
    ("literal number", "{3}", "3"),
    ("map as JSON", "{.users[1].user}", '{"password":"secret","username":"admin"}'),
    ("current object", "{range .users[*]}{@.name} {end}", "myself e2e "),
    ("missing field is empty", "{.nope.deeper}", ""),
    ("list of lists", "{.nested[*][0]}", "1 3"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "expected"), [r[1:] for r in RENDERED], ids=[r[0] for r in RENDERED])
def test_renders(template: str, expected: str) -> None:
    assert Template(template).render(DOCUMENT) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{.items", "unclosed action"),
        ("{end}", "not in range, nothing to end"),
        ("{.users[5].name}", "array index out of bounds: index 5, length 2"),
        ("{.kind[0]}", "List is not array or slice"),
        ("{.users[x]}", "invalid array index x"),
        ('{.users["name"]}', 'invalid array index "name"'),
        ("{foo}", "unrecognized identifier foo"),
        ("{.users[?(@.name==3)]}", "incompatible types for comparison"),
        ("{.users[?(@.name=~3)]}", "regular expressions are not supported"),
        ("{.users[0:2:0].name}", "step must be > 0"),
    ],
)
def test_rejects(template: str, message: str) -> None:
    with pytest.raises(JSONPathError) as raised:
        Template(template).render(DOCUMENT)
    assert message in str(raised.value)


def test_missing_field_can_be_an_error() -> None:
    with pytest.raises(JSONPathError, match="nope is not found"):
        Template("{.nope}", missing_ok=False).render(DOCUMENT)


@pytest.mark.parametrize("expression", ["x.y", ".x.y", "{x.y}", "{.x.y}"])
def test_relaxed_forms_are_one_path(expression: str) -> None:
    assert relaxed(expression) == "{.x.y}"


def test_relaxed_rejects_templates() -> None:
    with pytest.raises(JSONPathError):
        relaxed("{.a}{.b}")
