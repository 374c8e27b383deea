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

    async def apply(self, wanted: Tables) -> bool:
        """Write the difference; True when there was one."""
        if self._written is None:
            text = transaction.rewrite(wanted, await observe())
        else:
            text = transaction.update(wanted, self._written)
        if not text:
            return False
        self._written = None
        await _restore(text)
        self._written = wanted
        return True

    async def verify(self) -> bool:
        """False when someone changed our chains or took the first place; they are then written anew."""
        if self._written is None:
            return True
        wanted = self._written
        observed = await observe()
        if transaction.intact(wanted, observed):
            return True
        self._written = None
        await _restore(transaction.rewrite(wanted, observed))
        self._written = wanted
        return False

    async def remove(self) -> None:
        self._written = None
        text = transaction.removal(await observe())
        if text:
            await _restore(text)


async def backend() -> str:
    """`nf_tables` or `legacy`: which of the two the iptables on PATH speaks. Ours must be everyone's."""
    version = await run("iptables", "--version")
    return "nf_tables" if "nf_tables" in version else "legacy"


async def observe() -> dict[str, transaction.Observed]:
    saved = [await run("iptables-save", "-t", table) for table in JUMPS]
    return transaction.parse("\n".join(saved))


async def _restore(text: str) -> None:
    await run("iptables-restore", "--noflush", *WAIT, stdin=text)


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
