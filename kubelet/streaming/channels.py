"""Numbered channels inside WebSocket messages: `channel.k8s.io` and its successors. Pure.

A message is one byte that names the channel, then data; in the base64 dialects a digit, then the data in base64,
as text. In v4 and v5 the outcome of a command is a Status, before that plain text. v5 can close one channel:
255, then the channel (KEP-4006).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


@dataclass(frozen=True, slots=True)
class Dialect:
    text: bool = False
    tells_status: bool = False
    closes: bool = False

    def encode(self, channel: int, data: bytes) -> bytes | str:
        if self.text:
            return chr(ord("0") + channel) + base64.b64encode(data).decode()
        return bytes([channel]) + data

    def decode(self, message: bytes | str) -> tuple[int, bytes] | None:
        """(channel, data); None for what makes no sense. Both forms are understood in every dialect."""
        if isinstance(message, bytes) and not self.text:
            return (message[0], message[1:]) if message else None
        try:
            text = message if isinstance(message, str) else message.decode("ascii")
            return ord(text[:1]) - ord("0"), base64.b64decode(text[1:]) if self.text else text[1:].encode()
        except (ValueError, TypeError, binascii.Error):
            return None


DIALECTS = {
    "v5.channel.k8s.io": Dialect(tells_status=True, closes=True),
    "v4.channel.k8s.io": Dialect(tells_status=True),
    "v4.base64.channel.k8s.io": Dialect(text=True, tells_status=True),
    "channel.k8s.io": Dialect(),
    "base64.channel.k8s.io": Dialect(text=True),
}
"""By subprotocol, best first. A client that names none speaks `channel.k8s.io`."""


def dialect(subprotocol: str | None) -> Dialect:
    return DIALECTS.get(subprotocol or "", Dialect())
