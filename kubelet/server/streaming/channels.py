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
        """(channel, data); None for what makes no sense. Some clients send binary dialects as text."""
        data = message.encode() if isinstance(message, str) else message
        if not data:
            return None
        if not self.text:
            return data[0], data[1:]
        try:
            return data[0] - ord("0"), base64.b64decode(data[1:], validate=True)
        except binascii.Error:
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
