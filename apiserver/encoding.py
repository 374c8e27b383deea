"""Answers in another encoding than compact JSON: YAML for clients that accept it, indented JSON for people.

Who is a person is guessed as upstream does (k8s.io/apiserver/pkg/endpoints/handlers/negotiation): `?pretty` says so,
and so does the name of a browser, curl or wget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import yaml

from apiserver import negotiate
from apiserver.request import Request

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PEOPLE = ("curl", "Wget", "Mozilla/5.0")
Encode = Callable[[bytes], bytes]


def wanted(request: Request) -> tuple[Encode, bytes] | None:
    """How to turn a JSON body into what the client wants, and its content type. None: as it is."""
    accept = request.header(b"accept")
    if "yaml" in accept and negotiate.media(accept) == negotiate.YAML:
        return _yaml, b"application/yaml"
    if _is_for_people(request):
        return _indented, b"application/json"
    return None


def _is_for_people(request: Request) -> bool:
    if b"pretty" in request.scope["query_string"] and (asked := request.query("pretty")):
        return asked in ("1", "t", "T", "TRUE", "true", "True")
    return request.header(b"user-agent").startswith(_PEOPLE)


def _yaml(body: bytes) -> bytes:
    data: bytes = yaml.dump(orjson.loads(body), Dumper=_Dumper, encoding="utf-8", allow_unicode=True)
    return data


def _indented(body: bytes) -> bytes:
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
