"""The daemons as systemd units, `sampan-NAME.service`: generated, started, removed.

They are enabled at boot unless they need something that a reboot takes away (the namespaces of several nodes
on one machine). Output goes to the journal.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from client.files import write_if_changed
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.processes import Process, find

UNITS = Path("/etc/systemd/system")
PREFIX = "sampan-"


def unit(row: dict[str, Any], layout: Layout) -> str:
    """The unit file of one daemon."""
    environment = "\n".join(f"Environment={setting(f'{name}={value}')}" for name, value in row["env"].items())
    lasting = "nsenter" not in row["argv"]
    install = "\n[Install]\nWantedBy=multi-user.target\n" if lasting else ""
    # Containers must outlive their dockerd and every daemon's helpers their parent's restart.
    kill = "KillMode=process\nDelegate=yes" if row["keep"] else "KillMode=mixed"
    return f"""\
# Made by `sampan up`, removed by `sampan reset`. Version {row["digest"]}.
[Unit]
Description=Sampan: {row["name"]}
After=network-online.target docker.service
Wants=network-online.target
StartLimitIntervalSec=0
RequiresMountsFor={layout.root}

[Service]
{environment}
ExecStart={" ".join(quote(word) for word in row["argv"])}
Restart=always
RestartSec=100ms
{kill}
TimeoutStopSec=15
LimitNOFILE=1048576
{install}"""


def quote(word: str) -> str:
    """A word of a command as systemd.syntax(7) and systemd.service(5) read it back."""
    return setting(word.replace("$", "$$"))


def setting(word: str) -> str:
    """The same outside of commands, where a dollar sign means nothing."""
    return json.dumps(word.replace("%", "%%"), ensure_ascii=False)


def unit_name(name: str) -> str:
    return f"{PREFIX}{name}.service"


class Systemd:
    """Supervision by systemd."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def apply(self, rows: Sequence[dict[str, Any]]) -> None:
        table = self._layout.run / "components.json"
        write_if_changed(table, (json.dumps(list(rows), indent=1) + "\n").encode(), 0o600)
        wanted = {unit_name(row["name"]): unit(row, self._layout) for row in rows}
        changed = [name for name, text in wanted.items() if write_if_changed(UNITS / name, text.encode())]
        gone = [path.name for path in self._files() if path.name not in wanted]
        if gone:
            self._remove(gone)
        if changed:
            _systemctl("daemon-reload")
            _systemctl("restart", "--no-block", *changed)
        lasting = [name for name, text in wanted.items() if "[Install]" in text and not _enabled(name)]
        if lasting:
            _systemctl("enable", "--quiet", *lasting)
        _systemctl("start", *wanted)

    def running(self, name: str) -> Process | None:
        answer = _systemctl("show", "--property=MainPID", "--value", unit_name(name))
        pid = int(answer or 0)
        return find(pid) if pid else None

    def release(self, rows: Sequence[dict[str, Any]]) -> None:
        for name in [unit_name(row["name"]) for row in rows]:
            if (UNITS / name).exists():
                _systemctl("stop", name)

    def forget(self) -> list[str]:
        names = [path.name for path in self._files()]
        if names:
            self._remove(names)
        return [f"systemd unit {name}" for name in names]

    def _files(self) -> list[Path]:
        return sorted(UNITS.glob(f"{PREFIX}*.service"))

    def _remove(self, names: list[str]) -> None:
        _systemctl("disable", "--quiet", "--now", *names)
        for name in names:
            (UNITS / name).unlink(missing_ok=True)
        _systemctl("daemon-reload")
        _systemctl("reset-failed", *names, check=False)


def _enabled(name: str) -> bool:
    """Told by the link, since `systemctl enable` makes systemd read every unit again even if it changes nothing."""
    return (UNITS / "multi-user.target.wants" / name).is_symlink()


def _systemctl(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise Failure(f"systemctl {' '.join(arguments[:2])} failed: {done.stderr.strip()}", "journalctl -xe tells more")
    return done.stdout.strip()
