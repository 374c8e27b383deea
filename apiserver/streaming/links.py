"""Links in what a proxied server answers, made to lead through the proxy again.

Rules: apimachinery/pkg/util/proxy/transport.go rewriteURL and its table of HTML attributes that hold addresses.
Only addresses that begin with a slash, or name the server itself, are changed; everything else passes as it is, but
for the case of end tags.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import escape, unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit, urlunsplit

_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",), "base": ("href",),
    "blockquote": ("cite",), "body": ("background",), "button": ("formaction",), "command": ("icon",),
    "del": ("cite",), "embed": ("src",), "form": ("action",), "frame": ("longdesc", "src"), "head": ("profile",),
    "html": ("manifest",), "iframe": ("longdesc", "src"), "img": ("longdesc", "src", "usemap"),
    "input": ("src", "formaction", "usemap"), "ins": ("cite",), "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",), "script": ("src",), "source": ("src",),
    "track": ("src",), "video": ("poster", "src"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer comes from: our path in front of the server's, its host, and the host the client asked."""

    prepend: str
    host: str
    asked_host: str

    def rewritten(self, link: bytes) -> bytes:
        return self.link(link.decode("latin-1")).encode("latin-1")

    def link(self, link: str) -> str:
        try:
            url = urlsplit(link)
        except ValueError:
            return link  # not an address at all
        elsewhere = url.netloc and url.netloc not in (self.host, self.asked_host)
        if elsewhere or not url.path.startswith("/"):
            return link
        path = url.path
        if not path.startswith(self.prepend):
            path = self.prepend.rstrip("/") + path
        return urlunsplit(("", "", path, url.query, url.fragment))


async def rewrite(pieces: AsyncIterator[bytes], encoding: bytes, source: Source) -> AsyncIterator[bytes]:
    """An HTML body with its links changed, no longer compressed. Bytes are read as Latin-1, which keeps them all."""
    unpack = zlib.decompressobj(47) if encoding in (b"gzip", b"deflate") else None
    page = _Page(source)
    async for piece in pieces:
        page.feed((unpack.decompress(piece) if unpack is not None else piece).decode("latin-1"))
        yield page.taken()
    page.close()
    yield page.taken()


class _Page(HTMLParser):
    """Copies what it reads to `taken`, start tags with their links changed."""

    def __init__(self, source: Source) -> None:
        super().__init__(convert_charrefs=False)
        self._source = source
        self._out: list[str] = []

    def taken(self) -> bytes:
        out, self._out = "".join(self._out).encode("latin-1"), []
        return out

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text = self.get_starttag_text() or ""
        for name in _ATTRIBUTES.get(tag, ()):
            for old in (value for key, value in attrs if key == name and value):
                new = self._source.link(old)
                if new != old:
                    text = _with_value(text, old, new)
        self._out.append(text)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        self._out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._out.append(data)

    def handle_entityref(self, name: str) -> None:
        self._out.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._out.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self._out.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._out.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self._out.append(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        self._out.append(f"<![{data}]>")


def _with_value(tag: str, old: str, new: str) -> str:
    for written in (escape(old), escape(old, quote=False), old):
        if written in tag and unescape(written) == old:
            return tag.replace(written, escape(new), 1)
    return tag
