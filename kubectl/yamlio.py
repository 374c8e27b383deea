"""YAML in and out, as sigs.k8s.io/yaml reads and writes it.

Reading: YAML 1.1 booleans, no timestamps and no sexagesimal numbers (they stay strings), of a key given
twice the last counts. Writing: keys sorted, sequences not indented, strings that would read as something else in double
quotes, several lines as a literal block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]  # the same interface, in Python


class YAMLError(ValueError):
    """Malformed YAML; the message says where."""


_REDEFINED = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "bool", "int", "float", "value")}


class _Loader(_Base):
    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own class attribute
        first: [(tag, regexp) for tag, regexp in resolvers if tag not in _REDEFINED]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }


_TRUE = ("y", "yes", "true", "on")
_BOOL = re.compile(r"^(y|Y|n|N|(?:[yY]es|YES|[nN]o|NO|[tT]rue|TRUE|[fF]alse|FALSE|[oO]n|ON|[oO]ff|OFF))$")
_INT = re.compile(r"^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")


def _construct_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return node.value.lower() in _TRUE


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    lowered = digits.lower()
    if lowered.startswith(("0b", "0x", "0o")):
        return sign * int(lowered, 0)
    return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float | int:
    value = float(re.sub(r"\.(inf|nan)$", r"\1", node.value.lower()))
    return int(value) if value.is_integer() else value  # JSON has one kind of number


def _construct_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(node.value)


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:merge", _construct_text)  # a value `<<` is text
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("yYnNtTfFoO"))
_Loader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


def split_documents(text: str) -> Iterator[str]:
    """The texts between `---` lines, blank ones left out."""
    for part in _SEPARATOR.split(text):
        if part.strip():
            yield part.removeprefix("\n")


def load(text: str) -> Any:
    """One document; None when it is empty. YAMLError when malformed."""
    try:
        return _string_keys(yaml.load(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise YAMLError(_explain(error)) from error


def _explain(error: yaml.YAMLError) -> str:
    """Line numbers as go-yaml counts them: from 1 where the scanner stopped, from 0 elsewhere."""
    problem = getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None)
    if mark is not None and mark.line:
        first = 0 if isinstance(error, yaml.parser.ParserError) else 1
        return f"yaml: line {mark.line + first}: {problem}"
    return f"yaml: {problem}"


def _string_keys(value: Any) -> Any:
    """JSON has string keys only: `8080: x` becomes `"8080": x`."""
    if isinstance(value, dict):
        return {_key(k): _string_keys(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_string_keys(v) for v in value]
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_AMBIGUOUS = re.compile(
    r"^(y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|null|Null|NULL|~|)$"
    r"|^[-+]?(\.?[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$|^[-+]?0b[01_]+$|^[-+]?0x[0-9a-fA-F_]+$"
    r"|^[-+]?0o[0-7_]+$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$|^\d{4}-\d\d?-\d\d?([Tt ].*)?$"
    r"|^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$"
)


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _AMBIGUOUS.match(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)


def dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=True, width=80)
