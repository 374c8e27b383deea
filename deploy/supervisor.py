"""Keeps the daemons alive where there is no systemd. Runs as `python -m deploy.supervisor DIRECTORY`.

It reads DIRECTORY/components.json (made by `deploy.services`), adopts what already runs (by pid file), starts the
rest all at once, and starts again what ends, with back-off. SIGHUP reads the table again: what is new starts, what
has changed restarts, what is gone stops. SIGTERM ends the supervisor and its guard and leaves the daemons running;
stopping those is the work of `sampan down`.

It survives its own kill -9: a second process, the guard, waits for its end and then becomes the supervisor, which
adopts everything; the guard in turn is one more daemon to the supervisor. Daemons write their logs themselves, so
nothing passes through here, nothing breaks when this dies, and it sleeps unless something happens.
Standard library only, to stay small in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
import zlib
from pathlib import Path

from deploy.processes import Process, read_pid_file, this_process, write_pid_file

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its megabyte
if TYPE_CHECKING:
    from typing import Any

FIRST_DELAY, LAST_DELAY = 0.1, 10.0
STEADY_AFTER = 60.0
STOP_GRACE = 15.0
LOG_LIMIT = 10 * 1024 * 1024
LOG_CHECK = 60.0
LOCK_PATIENCE = 3.0
GUARD, LOCK = "guard", "supervisor.lock"


def back_off(delay: float, ran: float) -> float:
    """Seconds to wait before the next start, after one that ran `ran` seconds and had waited `delay`."""
    if ran >= STEADY_AFTER or delay == 0:
        return FIRST_DELAY
    return min(delay * 2, LAST_DELAY)


class Daemon:
    """One row of the table and the process that serves it."""

    def __init__(self, row: dict[str, Any], directory: Path) -> None:
        self.row = row
        self.name: str = row["name"]
        self.pid_file = directory / f"{self.name}.pid"
        self.process: Process | None = None
        self.descriptor = -1
        self.since = 0.0
        self.delay = 0.0
        self.due = 0.0
        self.kill_at = 0.0

    def take(self, process: Process) -> None:
        self.process = process
        self.descriptor = os.pidfd_open(process.pid)
        self.since = time.monotonic()
        self.kill_at = 0.0

    def adopt(self) -> bool:
        process = read_pid_file(self.pid_file)
        if process is None:
            return False
        try:
            self.take(process)
        except ProcessLookupError:
            return False
        return True

    def start(self) -> None:
        if not self.adopt():
            self.take(spawn(self.row, self.pid_file))

    def stop(self) -> None:
        if self.process is not None and not self.kill_at:
            self.kill_at = time.monotonic() + STOP_GRACE
            self.send(signal.SIGTERM)

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def lost(self) -> str:
        """The process has ended: forget it, say how it ended."""
        assert self.process is not None
        how = "ended"
        with contextlib.suppress(ChildProcessError):  # an adopted one is not our child
            pid, status = os.waitpid(self.process.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                how = f"exited with {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        os.close(self.descriptor)
        self.process, self.descriptor, self.kill_at = None, -1, 0.0
        return how


def spawn(row: dict[str, Any], pid_file: Path) -> Process:
    """Starts the program of a row in a session of its own. It writes its own pid file before it becomes that
    program, so that it is known whatever happens to its parent."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()  # ends when the child has become the program, or has failed
        process = read_pid_file(pid_file)
        if process is None or process.pid != pid:
            log(f"{row['name']} did not start: {answer or 'ended at once'}")
            return Process(pid, 0, "")
        return process
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(row["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir("/")
        write_pid_file(pid_file, this_process(row["digest"]))
        os.execvpe(row["argv"][0], row["argv"], row["env"])
    except BaseException as error:
        os.write(writing, f"{type(error).__name__}: {error}".encode())
    os._exit(127)


def log(text: str) -> None:
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    print(f"{stamp}.{int(now * 1000) % 1000:03d}Z {text}", file=sys.stderr, flush=True)


def rotate(path: Path) -> None:
    """Keeps the last LOG_LIMIT bytes or so in FILE.1. The daemon goes on appending to the emptied file."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT:
            with path.open("rb") as old, path.with_name(path.name + ".1").open("wb") as new:
                while os.sendfile(new.fileno(), old.fileno(), None, LOG_LIMIT):
                    pass
            os.truncate(path, 0)


class Supervisor:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.daemons: dict[str, Daemon] = {}
        self.poll = select.poll()
        self.leaving = False
        self.stale = True
        self.log_check = time.monotonic() + LOG_CHECK

    def run(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGHUP, self._on_hup)
        self.poll.register(reading, select.POLLIN)
        while not self.leaving:
            if self.stale:
                self.stale = False
                self.load()
            now = time.monotonic()
            for daemon in list(self.daemons.values()):
                if daemon.process is None and daemon.due <= now:
                    self.start(daemon)
                elif daemon.kill_at and daemon.kill_at <= now:
                    daemon.send(signal.SIGKILL)
                    daemon.kill_at = now + STOP_GRACE
            if now >= self.log_check:
                self.log_check = now + LOG_CHECK
                for daemon in self.daemons.values():
                    rotate(Path(daemon.row["log"]))
            for descriptor, _ in self.poll.poll(self.timeout() * 1000):
                if descriptor == reading:
                    os.read(reading, 512)
                else:
                    self.ended(descriptor)

    def timeout(self) -> float:
        times = [self.log_check]
        times += [daemon.due for daemon in self.daemons.values() if daemon.process is None]
        times += [daemon.kill_at for daemon in self.daemons.values() if daemon.kill_at]
        return max(0.0, min(times) - time.monotonic())

    def load(self) -> None:
        """Makes what runs agree with the table."""
        rows = json.loads((self.directory / "components.json").read_text())
        table = {row["name"]: row for row in [*rows, guard_row(self.directory)]}
        for name, row in table.items():
            daemon = self.daemons.get(name)
            if daemon is None:
                daemon = self.daemons[name] = Daemon(row, self.directory)
                if daemon.adopt():
                    self.poll.register(daemon.descriptor, select.POLLIN)
            daemon.row = row
            if daemon.process is not None and daemon.process.digest != row["digest"]:
                log(f"{name} has a new description: restarting it")
                daemon.delay = 0.0
                daemon.stop()
            elif daemon.process is None:
                daemon.due = 0.0
        for name in self.daemons.keys() - table.keys():
            daemon = self.daemons[name]
            if daemon.process is None:
                del self.daemons[name]
            else:
                log(f"{name} is no longer wanted: stopping it")
                daemon.row["gone"] = True
                daemon.stop()

    def start(self, daemon: Daemon) -> None:
        try:
            daemon.start()
        except OSError as error:
            # No memory, no process slot, or gone before we could hold it: the back-off is the answer.
            daemon.delay = back_off(daemon.delay, 0)
            daemon.due = time.monotonic() + daemon.delay
            log(f"{daemon.name} did not start ({error}), again in {daemon.delay:g} s")
            return
        self.poll.register(daemon.descriptor, select.POLLIN)

    def ended(self, descriptor: int) -> None:
        daemon = next(each for each in self.daemons.values() if each.descriptor == descriptor)
        self.poll.unregister(descriptor)
        asked, ran = bool(daemon.kill_at), time.monotonic() - daemon.since
        how = daemon.lost()
        if daemon.row.get("gone"):
            daemon.pid_file.unlink(missing_ok=True)
            del self.daemons[daemon.name]
            return
        daemon.delay = 0.0 if asked else back_off(daemon.delay, ran)
        daemon.due = time.monotonic() + daemon.delay
        log(f"{daemon.name} {how} after {ran:.1f} s, again in {daemon.delay:g} s")

    def dismiss_guard(self) -> None:
        guard = self.daemons.get(GUARD)
        if guard is not None and guard.process is not None:
            guard.send(signal.SIGKILL)
            guard.pid_file.unlink(missing_ok=True)

    def _on_term(self, *_: object) -> None:
        self.leaving = True

    def _on_hup(self, *_: object) -> None:
        self.stale = True


def program(directory: Path) -> list[str]:
    # Isolated from site-packages: this process needs none of them, and they cost memory.
    return [sys.executable, "-E", "-S", "-c", _BOOT, str(directory)]


_ROOT = str(Path(__file__).resolve().parent.parent)
_BOOT = f"import sys; sys.path.insert(0, {_ROOT!r}); from deploy.supervisor import main; main()"


def version() -> str:
    """Changes with the code of the supervisor, so that `sampan up` replaces one of an older version."""
    sources = [Path(__file__), Path(__file__).with_name("processes.py")]
    return f"{zlib.crc32(b''.join(source.read_bytes() for source in sources)):08x}"


def guard_row(directory: Path) -> dict[str, Any]:
    return {
        "name": GUARD,
        # It waits for the lock that a supervisor holds as long as it lives, in a sixth of the memory that another
        # Python would take, and lets go of it (descriptor 3) for its successor, which is the same process.
        "argv": [
            "flock",
            "--no-fork",
            str(directory / LOCK),
            "sh",
            "-c",
            'exec 3>&-; exec "$@"',
            GUARD,
            *program(directory),
        ],
        "env": dict(os.environ),
        "log": str(directory / "supervisor.log"),
        "digest": "",
    }


def supervisor_row(directory: Path) -> dict[str, Any]:
    return {**guard_row(directory), "name": "supervisor", "argv": program(directory)}


def take_lock(path: Path) -> bool:
    """Held until this process ends. Short of time, not of tries: a child may hold it for a moment."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def main() -> None:
    directory = Path(sys.argv[1])
    # The lock is held by every copy of this descriptor, so by a child that has not yet become its program too:
    # whoever gets the lock sees a complete set of pid files.
    if not take_lock(directory / LOCK):
        log("another supervisor is at work here")
        return
    write_pid_file(directory / "supervisor.pid", this_process(version()))
    former = read_pid_file(directory / f"{GUARD}.pid")
    if former is not None and former.pid == os.getpid():
        log("the supervisor before this one is gone")
        (directory / f"{GUARD}.pid").unlink()  # of a guard that has become what it guarded
    supervisor = Supervisor(directory)
    supervisor.run()
    supervisor.dismiss_guard()
    (directory / "supervisor.pid").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
