"""From `-f` arguments to objects: files, folders and stdin, YAML or JSON, several documents, List objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.meta import Obj
from kubectl.failures import CliError
from kubectl.yamlio import YAMLError, load, split_documents

_EXTENSIONS = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Document:
    obj: Obj
    source: str
    """The file it came from, or STDIN, as messages name it."""


def read_documents(filenames: list[str], *, recursive: bool = False, stdin: str | None = None) -> Iterator[Document]:
    """Objects in order. CliError at the first file that cannot be read or parsed; what precedes it was yielded."""
    for source, text in _sources(filenames, recursive, stdin):
        for raw in parse(source, text):
            yield from _flatten(raw, source)


def _sources(filenames: list[str], recursive: bool, stdin: str | None) -> Iterator[tuple[str, str]]:
    for filename in filenames:
        if filename == "-":
            yield "STDIN", sys.stdin.read() if stdin is None else stdin
            continue
        if filename.startswith(("http://", "https://")):
            raise CliError(f'reading "{filename}": fetch it first (for example with curl) and give -f -')
        for path in _files(Path(filename), filename, recursive):
            try:
                yield str(path), path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise CliError(f"open {path}: {getattr(error, 'strerror', None) or error}") from error


def _files(path: Path, given: str, recursive: bool) -> list[Path]:
    if not path.exists():
        raise CliError(f'the path "{given}" does not exist')
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*") if recursive else path.iterdir())
    found = [p for p in found if p.is_file() and p.suffix in _EXTENSIONS]
    if not found:
        raise CliError(f"error reading [{given}]: recognized file extensions are [{' '.join(_EXTENSIONS)}]")
    return found


def parse(source: str, text: str) -> Iterator[Any]:
    """Raw documents of one file. One that begins with a brace is JSON, unless it can only be YAML."""
    for part in split_documents(text):
        if part.lstrip()[:1] == "{":
            yield from _parse_braces(source, part)
            continue
        try:
            document = load(part)
        except YAMLError as error:
            raise CliError(f"error parsing {source}: error converting YAML to JSON: {error}") from error
        if document is not None:
            yield document


def _parse_braces(source: str, text: str) -> Iterator[Any]:
    """Where both readings fail, the first tells why (YAMLOrJSONDecoder)."""
    documents = _parse_json(source, text)
    try:
        first = next(documents)
    except CliError as error:
        try:
            first = load(text)
        except YAMLError:
            raise error from None
    yield first
    yield from documents


def _parse_json(source: str, text: str) -> Iterator[Any]:
    decoder, text, position = json.JSONDecoder(), text.lstrip(), 0
    while position < len(text):
        try:
            document, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            why = "unexpected EOF" if error.pos >= len(text.rstrip()) else f"json: line {error.lineno}: {error.msg}"
            raise CliError(f"error parsing {source}: {why}") from error
        yield document
        position = end + len(text[end:]) - len(text[end:].lstrip())


def _flatten(raw: Any, source: str) -> Iterator[Document]:
    obj = _checked(raw, source)
    if obj["kind"].endswith("List") and isinstance(obj.get("items"), list):
        for item in obj["items"]:
            yield from _flatten(item, source)
        return
    yield Document(obj, source)


def _checked(raw: Any, source: str) -> Obj:
    if not isinstance(raw, dict):
        kind = {str: "string", list: "array", bool: "bool"}.get(type(raw), "number")
        raise CliError(
            f'unable to decode "{source}": json: cannot unmarshal {kind} into Go value of type unstructured.detector'
        )
    for field, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not raw.get(field) or not isinstance(raw[field], str):
            compact = json.dumps(raw, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
            raise CliError(f"unable to decode \"{source}\": Object '{shown}' is missing in '{compact}'")
    if not isinstance(raw.get("metadata"), dict):
        raw["metadata"] = {}
    return raw
