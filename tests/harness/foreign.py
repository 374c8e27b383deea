"""Clients that are not ours, in an environment of their own (.clients-venv in the repository), with a Node.js of
their own too. Installed once, on first use; tests/stories/requirements.txt and package.json name them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.harness.apiserver import ROOT

STORIES = ROOT / "tests" / "stories"
_HOME = ROOT / ".clients-venv"
_NPM = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--omit=optional", "--loglevel=error")


def program(name: str) -> str:
    """The path of a program of that environment: python, kopf, node, schemathesis …"""
    _install()
    return str(_HOME / "bin" / name)


def tell(story: str, kubeconfig: Path, *arguments: str, within: float = 240.0, **env: str) -> str:
    """Runs a story of tests/stories to its end and gives what it printed. It must end with `done`."""
    file = STORIES / story
    argv = [program("python"), str(file), *arguments]
    if file.suffix == ".mjs":  # its modules are looked for beside it
        argv = [program("node"), shutil.copy(file, _HOME), *arguments]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=within, env=environment(kubeconfig, env))
    said = told.stdout + told.stderr
    assert told.returncode == 0 and told.stdout.rstrip().endswith("done"), (
        f"{story} ended with {told.returncode}:\n{said}"
    )
    return said


def environment(kubeconfig: Path, more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "HOME": str(kubeconfig.parent), "KUBECONFIG": str(kubeconfig), **more}


def _install() -> None:
    wanted = (STORIES / "requirements.txt").read_text() + (STORIES / "package.json").read_text()
    stamp = _HOME / "installed"
    with (Path(tempfile.gettempdir()) / "sampan-test-clients.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may start at once
        if stamp.exists() and stamp.read_text() == wanted:
            return
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_HOME)], check=True)
        # Without bytecode: it takes half the time, and most of it is never run.
        pip = [str(_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
        subprocess.run([*pip, "--requirement", str(STORIES / "requirements.txt")], check=True)
        shutil.copy(STORIES / "package.json", _HOME)
        env = {**os.environ, "PATH": f"{_HOME / 'bin'}:{os.environ['PATH']}"}
        subprocess.run([str(_HOME / "bin" / _NPM[0]), *_NPM[1:]], cwd=_HOME, env=env, check=True)
        stamp.write_text(wanted)
