"""The names of images, read as Docker and upstream's kubelet read them. Pure.

Grammar: github.com/distribution/reference (reference.go, normalize.go); messages: pkg/util/parsers/parsers.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<name>{_DOMAIN}/{_PATH_PART}(?:/{_PATH_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?",
    re.ASCII,
)
_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LONGEST = 255
_HUB, _OLD_HUB = "docker.io", "index.docker.io"


class InvalidName(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    """As Docker is asked for it: as it was written, with its digest or else a tag."""
    repository: str
    """In full: `docker.io/library/busybox`, `127.0.0.1:5000/team/app`."""
    tag: str
    """`latest` when neither a tag nor a digest is given."""
    digest: str


def parse(image: str) -> Reference:
    """InvalidName, with what the kubelet says of it."""
    try:
        return _parse(image)
    except InvalidName as error:
        raise InvalidName(f'couldn\'t parse image name "{image}": {error}') from None


def _parse(image: str) -> Reference:
    if re.fullmatch("[a-f0-9]{64}", image):
        raise InvalidName(f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings")
    domain, path = _split(image)
    name = re.split("[:@]", path, maxsplit=1)[0]
    if name != name.lower():
        raise InvalidName(f"invalid reference format: repository name ({name}) must be lowercase")
    found = _REFERENCE.fullmatch(f"{domain}/{path}")
    if found is None:
        raise InvalidName("invalid reference format")
    if len(found["name"]) > _LONGEST:
        raise InvalidName(f"repository name must not be more than {_LONGEST} characters")
    digest = found["digest"] or ""
    algorithm, _, digits = digest.partition(":")
    if digest and algorithm not in _DIGITS:
        raise InvalidName("unsupported digest algorithm")
    if digest and len(digits) != _DIGITS[algorithm]:
        raise InvalidName("invalid checksum digest length")
    tag = found["tag"] or ("" if digest else "latest")
    written = image.partition("@")[0].removesuffix(f":{found['tag']}")
    return Reference(f"{written}@{digest}" if digest else f"{written}:{tag}", found["name"], tag, digest)


def _split(image: str) -> tuple[str, str]:
    """Where it is, and its name there. What has no dot, no port and is not `localhost` is no host."""
    first, slash, rest = image.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost" or first != first.lower()):
        domain, rest = _HUB, image
    else:
        domain = _HUB if first == _OLD_HUB else first
    if domain == _HUB and "/" not in rest:
        rest = f"library/{rest}"
    return domain, rest
