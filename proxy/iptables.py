"""The one module that runs iptables.

It promises: what was written is in the kernel in one step or not at all; after a failure the next call rewrites
everything; nothing is flushed at start, so a restart of the proxy disturbs no traffic; `remove` leaves what
`iptables-save` printed before the first write. It never touches a chain that is not ours.
"""

from __future__ import annotations

import asyncio
import subprocess

from proxy import transaction
from proxy.rules import JUMPS, Tables

WAIT = ("--wait", "10")  # others (dockerd, ufw) hold the lock, too


class IptablesError(Exception):
    """An iptables command failed; the message is what it said."""


class Iptables:
    """Keeps the kernel at the last `apply`."""

    def __init__(self) -> None:
        self._written: Tables | None = None  # None: what the kernel holds is not known to be ours
        self._lock = asyncio.Lock()  # a verification must not see half of a write, nor undo it

    async def apply(self, wanted: Tables) -> bool:
        """Write the difference; True when there was one."""
        async with self._lock:
            if self._written is None:
                text = transaction.rewrite(wanted, await observe())
            else:
                text = transaction.update(wanted, self._written)
            if text:
                await self._write(text, wanted)
            return bool(text)

    async def verify(self) -> bool:
        """False when someone changed our chains or took the first place; they are then written anew."""
        async with self._lock:
            if self._written is None:
                return True  # the next `apply` writes everything
            observed = await observe()
            if transaction.intact(self._written, observed):
                return True
            await self._write(transaction.rewrite(self._written, observed), self._written)
            return False

    async def remove(self) -> None:
        async with self._lock:
            text = transaction.removal(await observe())
            if text:
                await self._write(text, None)

    async def _write(self, text: str, result: Tables | None) -> None:
        self._written = None  # for as long as it is not certain
        await run("iptables-restore", "--noflush", *WAIT, stdin=text)
        self._written = result


async def backend() -> str:
    """`nf_tables` or `legacy`: which of the two the iptables on PATH speaks. Ours must be everyone's."""
    version = await run("iptables", "--version")
    return "nf_tables" if "nf_tables" in version else "legacy"


async def observe() -> dict[str, transaction.Observed]:
    saved = [await run("iptables-save", "-t", table) for table in JUMPS]
    return transaction.parse("\n".join(saved))


async def run(*argv: str, stdin: str = "") -> str:
    """stdout of a command; IptablesError with its stderr. In a thread: uvloop closes the pipe of a program
    that ends before its input is written, and reports that instead of the program's own words."""
    return await asyncio.to_thread(_run, argv, stdin)


def _run(argv: tuple[str, ...], stdin: str) -> str:
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as error:
        raise IptablesError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise IptablesError(f"`{' '.join(argv)}` did not end within 60 s") from error
    if done.returncode:
        raise IptablesError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
    return done.stdout
