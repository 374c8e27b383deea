"""The sandbox image, made from nothing: one static program of some 200 bytes that waits for a signal.

It ignores SIGCHLD, so that orphans of a shared process namespace leave no zombies, ends on SIGTERM, and sleeps
otherwise. No registry and no compiler is needed. The machine code is written out by hand below.
"""

from __future__ import annotations

import io
import struct
import tarfile

IMAGE = "sampan/pause:1"

_BASE = 0x400000
_HEADERS = 64 + 56
_SIGTERM, _SIGCHLD, _SIG_IGN = 15, 17, 1
_SA_RESTORER = 0x04000000  # x86_64 refuses to deliver a signal to a handler without it


def program(machine: str) -> bytes:
    """The ELF file for `machine`, as uname says it. ValueError for an unknown one."""
    if machine in ("x86_64", "amd64"):
        return _elf(62, _x86_64())
    if machine in ("aarch64", "arm64"):
        return _elf(183, _aarch64())
    raise ValueError(f"there is no sandbox program for machine type {machine!r}")


def archive(machine: str) -> bytes:
    """A root file system with the program as /pause, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        code = program(machine)
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(code), 0o755
        tar.addfile(entry, io.BytesIO(code))
    return buffer.getvalue()


def _elf(machine: int, body: bytes) -> bytes:
    size = _HEADERS + len(body)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + load + body


def _sigaction(handler: int) -> bytes:
    """struct sigaction of the kernel: handler, flags, restorer, mask."""
    return struct.pack("<QQQQ", handler, _SA_RESTORER if handler != _SIG_IGN else 0, 0, 0)


def _x86_64() -> bytes:
    def call(signal: int, at: int, target: int) -> bytes:
        code = b"\xb8" + struct.pack("<I", 13)  # mov eax, rt_sigaction
        code += b"\xbf" + struct.pack("<I", signal)  # mov edi, signal
        code += b"\x48\x8d\x35" + struct.pack("<i", target - (at + len(code) + 7))  # lea rsi, [rip + target]
        code += b"\x31\xd2"  # xor edx, edx
        code += b"\x41\xba" + struct.pack("<I", 8)  # mov r10d, 8
        return code + b"\x0f\x05"  # syscall

    one = len(call(0, 0, 0))
    loop = b"\xb8" + struct.pack("<I", 34) + b"\x0f\x05\xeb\xf7"  # mov eax, pause; syscall; jmp back
    leave = b"\xb8" + struct.pack("<I", 60) + b"\x31\xff\x0f\x05"  # mov eax, exit; xor edi, edi; syscall
    handler = 2 * one + len(loop)
    data = (handler + len(leave) + 7) // 8 * 8
    code = call(_SIGCHLD, 0, data) + call(_SIGTERM, one, data + 32) + loop + leave
    return code.ljust(data, b"\0") + _sigaction(_SIG_IGN) + _sigaction(_BASE + _HEADERS + handler)


def _aarch64() -> bytes:
    def mov(register: int, value: int) -> int:  # movz x<register>, #value
        return 0xD2800000 | value << 5 | register

    def adr(register: int, distance: int) -> int:
        return 0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | register

    svc = 0xD4000001

    def call(signal: int, at: int, target: int) -> list[int]:
        return [mov(8, 134), mov(0, signal), adr(1, target - (at + 8)), mov(2, 0), mov(3, 8), svc]

    one = len(call(0, 0, 0)) * 4
    # ppoll(NULL, 0, NULL, NULL): this machine has no pause. Then branch back to the first of the loop.
    loop = [mov(8, 73), mov(0, 0), mov(1, 0), mov(2, 0), mov(3, 0), mov(4, 0), svc]
    loop.append(0x14000000 | (-len(loop) & 0x3FFFFFF))
    leave = [mov(8, 93), mov(0, 0), svc]
    handler = 2 * one + len(loop) * 4
    data = (handler + len(leave) * 4 + 7) // 8 * 8
    words = [*call(_SIGCHLD, 0, data), *call(_SIGTERM, one, data + 32), *loop, *leave]
    code = b"".join(struct.pack("<I", word) for word in words)
    return code.ljust(data, b"\0") + _sigaction(_SIG_IGN) + _sigaction(_BASE + _HEADERS + handler)
