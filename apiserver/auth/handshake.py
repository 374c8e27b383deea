"""TLS handshakes that go on with a certificate which nobody trusts, so that its bearer is answered 401, as upstream
does (k8s.io/apiserver/pkg/server/secure_serving.go asks for certificates and leaves the judgment to authentication).

Python's ssl can only refuse such a handshake, which leaves the client with an alert that few libraries explain. OpenSSL
itself has what is needed: a callback that lets the handshake go on, and the result of the verification, which it keeps
with the connection and with resumed sessions (SSL_CTX_set_verify(3), SSL_get_verify_result(3)). Both are reached
through ctypes in the very library that Python's ssl is linked with.

Fails closed twice: where the library or the layout of Python's objects is not as expected, handshakes are refused as
before; and a connection whose result cannot be read has no good certificate.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
from typing import Any

_VERIFY_PEER, _VERIFY_OK = 1, 0
_POINTER, _HEAD = ctypes.sizeof(ctypes.c_void_p), object.__basicsize__
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_GO_ON = _CALLBACK(lambda _good, _store: 1)  # as long-lived as any context that uses it


class Handshakes:
    """Of the connections to one server. `tls` asks for certificates already (CERT_OPTIONAL)."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._library = _openssl()
        self.go_on = self._library is not None and self._install()

    def is_verified(self, connection: ssl.SSLObject) -> bool:
        """Of a connection that has brought a certificate: a good one, when the handshake was over."""
        if self._library is None or not self.go_on:
            return True  # else there would be no connection
        pointer = self._pointer(connection)
        return bool(pointer) and self._library.SSL_get_verify_result(pointer) == _VERIFY_OK

    def _install(self) -> bool:
        assert self._library is not None
        probe = self._tls.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        pointer = self._pointer(probe)
        if not pointer or self._tls.verify_mode is not ssl.CERT_OPTIONAL:
            return False
        self._library.SSL_CTX_set_verify(self._library.SSL_get_SSL_CTX(pointer), _VERIFY_PEER, _GO_ON)
        return True

    def _pointer(self, connection: ssl.SSLObject) -> int:
        """The SSL* of CPython's struct { PyObject_HEAD; PyObject *Socket; SSL *ssl; PySSLContext *ctx; … }, 0 when it
        does not look like that: an SSLObject has no socket, and the context must be ours."""
        inner: Any = getattr(connection, "_sslobj", None)
        if type(inner).__basicsize__ < _HEAD + 3 * _POINTER:
            return 0
        socket, pointer, context = (ctypes.c_void_p * 3).from_address(id(inner) + _HEAD)
        return pointer if socket is None and pointer and context == id(self._tls) else 0


def _openssl() -> Any:
    """None when its functions are not to be found from Python's own extension module."""
    try:
        library = ctypes.CDLL(_ssl.__file__)
        library.SSL_get_SSL_CTX.argtypes, library.SSL_get_SSL_CTX.restype = [ctypes.c_void_p], ctypes.c_void_p
        library.SSL_get_verify_result.argtypes = [ctypes.c_void_p]
        library.SSL_get_verify_result.restype = ctypes.c_long
        library.SSL_CTX_set_verify.argtypes = [ctypes.c_void_p, ctypes.c_int, _CALLBACK]
        library.SSL_CTX_set_verify.restype = None
    except (AttributeError, OSError):
        return None
    return library
