"""Requests that nobody would send, made from requests that somebody does (pure, from one seed).

A `Fuzzer` knows the paths and schemas of a server from its OpenAPI and makes one request after the other: a sound one,
damaged somewhere: in its path, a selector, a continue token, a header, or in its body as JSON, YAML, protobuf or patch,
by whole values or by single bytes. The same seed gives the same requests.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import yaml

from tests.harness.protobuf import MEDIA_TYPE, message
from tests.harness.protobuf import body as protobuf_body

Obj = dict[str, Any]
_PATCHES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip
# Values that have broken somebody's server before.
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1 << 31, 1 << 63, -(1 << 63) - 1, 1.5, 1e308, "", " ", "\0", "\ud7ff", "a" * 300, "💥", "../..",
    "null", "-1", "1e999", "0x10", "1" * 5000, [], {}, [[]], [None], {"": None}, {"a": {"b": [{}]}}, "2026-13-45T99:99:99Z",
    "%00", "{{", "${x}", "*", "a=b,c", "true", "1Ki", "-5m", "0.0000000001", {"$patch": "replace"}, {"$patch": "nope"},
    [{"$patch": "delete"}],
)  # fmt: skip
_SELECTORS = (
    "a=b", "a in (b,c)", "a notin (b", "!a", "a==", "=", ",", ",,", "a=b,", "a in ()", "((", "a b", "a=b=c", "a\0b",
    "metadata.name=x", "metadata.name!=x", "spec.nodeName=", "status.phase==Running", "metadata.name=\\", "é=ü",
    "a" * 400, "a gt 1", "a>1", "a<x", "a in (b),a notin (c)",
)  # fmt: skip
_QUERY: Mapping[str, tuple[str, ...]] = {
    "labelSelector": _SELECTORS,
    "fieldSelector": _SELECTORS,
    "limit": ("0", "1", "-1", "x", "99999999999999999999", "1.5", ""),
    "resourceVersion": ("0", "1", "-1", "x", "999999999999", "18446744073709551616", ""),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x", ""),
    "timeoutSeconds": ("1", "0", "-1", "x", ""),
    "watch": ("0", "false", "x"),
    "sendInitialEvents": ("true", "false", "x"),
    "allowWatchBookmarks": ("true", "x"),
    "dryRun": ("All", "x", ""),
    "fieldManager": ("me", "", "a" * 200, "\x01"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x", ""),
    "force": ("true", "false", "x"),
    "gracePeriodSeconds": ("0", "-1", "x", "99999999999999999999"),
    "propagationPolicy": ("Foreground", "Orphan", "Background", "x"),
    "orphanDependents": ("true", "x"),
    "pretty": ("true", "x"),
    "container": ("main", "", "x"),
    "tailLines": ("-1", "x", "5"),
    "sinceTime": ("x", "2026-01-01T00:00:00Z"),
    "command": ("sh", ""),
    "ports": ("80", "x", "-1"),
    "path": ("/", "..", "%2e%2e"),
    "verbose": ("", "x"),
    "exclude": ("etcd", "x"),
    "hash": ("x", ""),
}
_ACCEPT = (
    "application/json", "*/*", "", "text/html", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v9;g=meta.k8s.io", "application/vnd.kubernetes.protobuf", ";;;", "a/b;q=x", "application/json;q=0",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "application/cbor",
)  # fmt: skip
_TYPES = (
    "application/json", "application/yaml", MEDIA_TYPE, "", "text/plain", "application/json; charset=latin-1",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ";", "application/cbor", *_PATCHES,
)  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
_NAMES = (
    "x",
    "default",
    "a.b",
    "UPPER",
    "a" * 254,
    "%00",
    "%2F",
    "..",
    ".",
    "%ff",
    "a b",
    "é",
    "x%0Ay",
    "system:node:a",
    "-a",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, as it goes over the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def told(self) -> str:
        """A line to repeat it by."""
        data = f" --data-binary @<(echo {base64.b64encode(self.body).decode()} | base64 -d)" if self.body else ""
        heads = "".join(f" -H {name + ': ' + value!r}" for name, value in self.headers)
        return f"curl -X {self.method} '{self.target}'{heads}{data}"


@dataclass(slots=True)
class Fuzzer:
    """`documents` are the OpenAPI v3 documents of the server. `namespace` is where objects go."""

    documents: list[Obj]
    namespace: str
    random: random.Random
    _operations: list[tuple[str, str, Obj]] = field(default_factory=list)
    _schemas: dict[str, Obj] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for document in self.documents:
            self._schemas |= document["components"]["schemas"]
            for path, item in sorted(document["paths"].items()):
                for method, operation in sorted(item.items()):
                    if method != "parameters":
                        self._operations.append((method.upper(), path, operation))

    # --- one request -------------------------------------------------------------------------------------

    def next(self) -> Sent:
        method, path, operation = self.random.choice(self._operations)
        name = f"fuzz-{self.random.randrange(8)}"
        target = self._target(path, name)
        query = self._query(operation)
        headers = {"Accept": self._rarely(self._pick(_ACCEPT), "application/json")}
        body = b""
        if method in ("POST", "PUT", "PATCH") or self._chance(0.05):
            body, headers["Content-Type"] = self._body(method, operation, name)
        if self._chance(0.02):
            method = self._pick(_METHODS)
        if self._chance(0.02):
            headers[self._pick(("If-None-Match", "Range", "Expect", "Impersonate-User", "Impersonate-Extra-x"))] = (
                self._pick(("", "*", "x", "bytes=0-1", "100-continue"))
            )
        return Sent(method, target + (f"?{query}" if query else ""), tuple(headers.items()), body)

    def _target(self, path: str, own: str) -> str:
        def value(name: str) -> str:
            if name == "namespace":
                return self._rarely(self._pick(_NAMES), self.namespace)
            return self._rarely(self._pick(_NAMES), own)

        steps = [value(step[1:-1]) if step.startswith("{") else step for step in path.split("/")]
        if self._chance(0.03):
            steps.insert(self.random.randrange(1, len(steps) + 1), self._pick(_NAMES))
        target = "/".join(quote(step, safe="%.:") for step in steps)
        return target if target.startswith("/") else f"/{target}"

    def _query(self, operation: Obj) -> str:
        told = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
        chosen = [name for name in told if name in _QUERY and self._chance(0.15)]
        if self._chance(0.05):
            chosen.append(self._pick(tuple(_QUERY)))
        pieces = [f"{name}={quote(self._pick(_QUERY[name]))}" for name in chosen if name != "watch"]
        if "continue" in told and self._chance(0.15):
            pieces.append(f"continue={quote(self._token())}")
        if "timeoutSeconds" not in chosen and any(p.startswith(("sendInitialEvents", "allowWatch")) for p in pieces):
            pieces.append("timeoutSeconds=1")
        return "&".join(pieces)

    def _token(self) -> str:
        sound = {"v": "meta.k8s.io/v1", "rv": self.random.randrange(1000), "start": "fuzz-1\0"}
        if self._chance(0.5):
            sound[self._pick(tuple(sound))] = self._odd()
        raw = json.dumps(sound, default=str).encode()
        encoded = base64.urlsafe_b64encode(self._damaged(raw) if self._chance(0.4) else raw)
        return (self._damaged(encoded) if self._chance(0.3) else encoded).decode("latin-1")

    # --- bodies ------------------------------------------------------------------------------------------

    def _body(self, method: str, operation: Obj, name: str) -> tuple[bytes, str]:
        kind = operation.get("x-kubernetes-group-version-kind", {})
        obj = self._object(operation, kind, name)
        for _ in range(max(0, self.random.randrange(5) - 2)):
            self._break(obj)
        media = self._pick(_PATCHES) if method == "PATCH" else self._pick(_TYPES[:3])
        if media == MEDIA_TYPE:
            data = self._protobuf(kind, obj)
        elif media == "application/json-patch+json":
            data = _json(self._operations_of_patch(obj))
        elif "yaml" in media and self._chance(0.7):
            data = yaml.safe_dump(_plain(obj)).encode("utf-8", "replace")
        else:
            data = _json(obj)
        if self._chance(0.15):
            data = self._damaged(data)
        return data, self._rarely(self._pick(_TYPES), media)

    def _object(self, operation: Obj, kind: Obj, name: str) -> Obj:
        schema = self._schema_of(operation)
        made = self._value(schema, 0) if schema else {}
        if not isinstance(made, dict):
            made = {}
        group, version = kind.get("group", ""), kind.get("version", "v1")
        made["apiVersion"] = f"{group}/{version}" if group else version
        made["kind"] = kind.get("kind", "Pod")
        made["metadata"] = {"name": name, "labels": {"a": "b"}}
        if self._chance(0.2):
            made["metadata"] |= self._value({"$ref": "x/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}, 1)
        return made

    def _schema_of(self, operation: Obj) -> Obj:
        for answer in operation.get("responses", {}).values():
            for content in answer.get("content", {}).values():
                found: Obj = content["schema"]
                return found
        return {}

    def _value(self, schema: Obj, depth: int) -> Any:
        if "allOf" in schema:
            schema = schema["allOf"][0]
        if "$ref" in schema:
            schema = self._schemas.get(schema["$ref"].rpartition("/")[2], {})
        if "oneOf" in schema:
            schema = self._pick(tuple(schema["oneOf"]))
        if schema.get("enum"):
            return self._pick(tuple(schema["enum"]))
        of: Callable[[], Any] = {
            "string": lambda: self._text(schema),
            "integer": lambda: self._pick((0, 1, 80, -1, 70000, 1 << 40)),
            "number": lambda: self._pick((0, 1.5, -1)),
            "boolean": lambda: self._chance(0.5),
            "array": lambda: [self._value(schema.get("items", {}), depth + 1) for _ in range(self.random.randrange(3))],
        }.get(schema.get("type", "object"), lambda: self._struct(schema, depth))
        return of()

    def _struct(self, schema: Obj, depth: int) -> Obj:
        properties, required = schema.get("properties"), schema.get("required", ())
        if not properties:
            extra = schema.get("additionalProperties")
            return {"k": self._value(extra, depth + 1)} if isinstance(extra, dict) and depth < 9 else {}
        likely = 0.5 if depth < 2 else 0.1 if depth < 6 else 0.0
        return {
            name: self._value(child, depth + 1)
            for name, child in sorted(properties.items())
            if (name in required and depth < 12) or self._chance(likely)
        }

    def _text(self, schema: Obj) -> str:
        if schema.get("format") == "date-time":
            return self._pick(("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z", "yesterday", ""))
        if schema.get("format") == "byte":
            return self._pick(("aGk=", "!", ""))
        return self._pick(
            ("a", "fuzz", "Always", "TCP", "ClusterFirst", "RollingUpdate", "1Gi", "100m", "", "10.0.0.1", "a/b", "50%")
        )

    def _break(self, value: Any) -> None:
        """Put something odd somewhere."""
        while isinstance(value, dict | list) and value:
            key = self._pick(tuple(value)) if isinstance(value, dict) else self.random.randrange(len(value))
            if self._chance(0.4) or not isinstance(value[key], dict | list) or not value[key]:
                if isinstance(value, dict) and self._chance(0.3):
                    value[str(self._pick(_ODD))[:40]] = self._odd()
                else:
                    value[key] = self._odd()
                return
            value = value[key]

    def _operations_of_patch(self, obj: Obj) -> Any:
        paths = ("/metadata/labels/a", "/spec", "/spec/replicas", "/metadata/name", "", "/", "/a/-", "/spec/containers/0", "/~2", "x",
                 "/metadata/finalizers/-", "/data/x", "/status", "/metadata/managedFields", "/kind")  # fmt: skip
        verbs = ("add", "remove", "replace", "move", "copy", "test", "nope", None)
        found = [
            {
                "op": self._pick(verbs),
                "path": self._pick(paths),
                "value": self._pick((*_ODD, obj)),
                "from": self._pick(paths),
            }
            for _ in range(self.random.randrange(1, 4))
        ]
        return self._rarely(self._pick(_ODD), found)

    def _protobuf(self, kind: Obj, obj: Obj) -> bytes:
        metadata = message((1, str(obj["metadata"].get("name")) if isinstance(obj.get("metadata"), dict) else "x"))
        raw = message(
            (1, metadata), *((self.random.randrange(1, 30), self._part()) for _ in range(self.random.randrange(4)))
        )
        group, version = kind.get("group", ""), kind.get("version", "v1")
        return protobuf_body(f"{group}/{version}" if group else version, kind.get("kind", "Pod"), raw)

    def _part(self) -> Any:
        return self._pick(
            (0, 1 << 63, -1, "", "a", b"\xff\xff", message((1, "a"), (2, 1)), message((1, message((1, "b")))))
        )

    # --- chance ------------------------------------------------------------------------------------------

    def _damaged(self, data: bytes) -> bytes:
        """Some bytes changed, taken out, doubled or cut off."""
        out = bytearray(data)
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(out) + 1)
            match self.random.randrange(5):
                case 0 if out:
                    out[at % len(out)] = self.random.randrange(256)
                case 1:
                    del out[at : at + self.random.randrange(8)]
                case 2:
                    out[at:at] = out[at : at + 20]
                case 3:
                    del out[at:]
                case _:
                    out[at:at] = self._pick(
                        (b"\0", b"\xff\xfe", b"{", b"[" * 600, b'"', b"\n---\n", b"&a *a", b"1e999", b"\\ud800")
                    )
        return bytes(out)

    def _pick(self, among: tuple[Any, ...]) -> Any:
        return self.random.choice(among)

    def _odd(self) -> Any:
        return copy.deepcopy(self._pick(_ODD))

    def _chance(self, of: float) -> bool:
        return self.random.random() < of

    def _rarely(self, odd: Any, sound: Any) -> Any:
        return odd if self._chance(0.08) else sound


def _json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
