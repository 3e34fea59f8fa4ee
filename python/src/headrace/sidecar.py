"""Starts the machine's sidecar for a configuration file, and ends it again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Callable

from .errors import HeadraceError

_sidecar_log = logging.getLogger("headrace.sidecar")

# a Unix socket's path has 104 bytes on macOS and 108 on Linux, the final NUL included
SOCKET_PATH_BYTES_MAX = 103
# pino's levels, as Python's logging numbers them
LOG_LEVELS = {10: logging.DEBUG, 20: logging.DEBUG, 30: logging.INFO, 40: logging.WARNING, 50: logging.ERROR, 60: logging.CRITICAL}
# what is kept of the sidecar's log for an error message
LOG_LINES_KEPT = 20
# after SIGTERM, before SIGKILL: sessions of this process have left by then; others get the sidecar's own grace (serve.grace, by default 20 s) and a little
GRACE_S = 25.0
# between the end of a process's output and its own
ENDED_S = 1.0
# how long a killed process's output may take to be read to its end
KILLED_S = 5.0


def default_address(config: str) -> str:
    """The address of a configuration file's sidecar: from its real path, as ``headrace serve`` computes it. Errors: ``ADDRESS_INVALID``."""
    path = _private_directory() / (hashlib.sha256(os.path.realpath(config).encode()).hexdigest()[:16] + ".sock")
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise HeadraceError("ADDRESS_INVALID", f"the socket path {path} is too long", hint="set XDG_RUNTIME_DIR or TMPDIR to a shorter directory")
    return f"ipc://{path}"


def _private_directory() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    directory = Path(runtime) / "headrace" if runtime else Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise HeadraceError("ADDRESS_INVALID", f"{directory} belongs to another user, or is no directory", hint="pass address=, or set XDG_RUNTIME_DIR")
    if status.st_mode & 0o077:
        directory.chmod(0o700)
    return directory


def answers(address: str) -> bool:
    """Whether somebody listens at an ipc address."""
    if not address.startswith("ipc://"):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(address[len("ipc://") :])
        except BlockingIOError:
            return True  # it is there, and has no time
        except OSError:
            return False
    return True


def find_command(config: str) -> list[str]:
    """HEADRACE_COMMAND, ``headrace`` on the PATH, or ``node_modules/.bin/headrace`` above the configuration or the working directory. Errors: ``SIDECAR_NOT_FOUND``."""
    configured = os.environ.get("HEADRACE_COMMAND")
    if configured:
        try:
            return shlex.split(configured)
        except ValueError as error:
            raise HeadraceError("CONFIG_INVALID", f"HEADRACE_COMMAND is {configured!r}: {error}", hint="quote it as for a shell") from error
    installed = shutil.which("headrace")
    if installed:
        return [installed]
    for start in (Path(config).resolve().parent, Path.cwd()):
        for directory in (start, *start.parents):
            candidate = directory / "node_modules" / ".bin" / "headrace"
            if candidate.exists():
                return [str(candidate)]
    raise HeadraceError(
        "SIDECAR_NOT_FOUND",
        "the command `headrace` is not installed on this machine",
        hint="install it with `npm install -g headrace`, or name it in command= or HEADRACE_COMMAND",
    )


class Sidecar:
    """
    A sidecar that this process started. It ends when this process does, however this process ends: its standard input closes then.

    ``on_end`` is called in a thread of its own when its output has ended.
    """

    def __init__(self, config: str, address: str, command: Sequence[str] | None, on_end: Callable[[Sidecar], None] = lambda _: None) -> None:
        argv = [*(command or find_command(config)), "serve", config, "--address", address, "--exit-with-stdin"]
        try:
            # in a session of its own, so that Ctrl-C in the terminal reaches the trainer only, which then ends the sidecar in order
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            raise HeadraceError("SIDECAR_NOT_FOUND", f"cannot start {argv[0]}: {error}", hint="name the command in command= or HEADRACE_COMMAND") from error
        _started.add(self)
        self._log: deque[str] = deque(maxlen=LOG_LINES_KEPT)
        self.on_end = on_end
        self._ready = threading.Event()
        self._output_ended = threading.Event()
        self.ready_line = ""
        self._readers = [
            threading.Thread(target=self._read_stdout, name="headrace-sidecar-out", daemon=True),
            threading.Thread(target=self._read_stderr, name="headrace-sidecar-log", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has closed its standard output: also where the command is a wrapper that ended, or did not, with the sidecar."""
        return self._output_ended.is_set()

    def describe_end(self) -> str:
        """How it ended, and the end of its log. Waits for it, if it was not stopped yet."""
        self.stop()
        status = self._process.returncode
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return f"{how}:\n" + "\n".join(self._log)

    def stop(self) -> None:
        """Ends the sidecar and waits for it. May be called again."""
        process = self._process
        deadline = time.monotonic() + GRACE_S
        if self.has_ended:  # by itself, a moment ago: then its status says why
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDED_S)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        self._close_stdin()  # ends what a wrapper left behind; not before, because two reasons to end make the sidecar end at once
        self._join_readers(deadline)
        if process.poll() is None or self._is_held():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._join_readers(time.monotonic() + KILLED_S)
        if self._is_held():
            return  # by a process that left the group: closing a stream that a thread reads from would wait for ever
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def await_ready(self, start_timeout_s: float) -> None:
        """Errors: ``SIDECAR_FAILED``; then it has been stopped."""
        if self._ready.wait(start_timeout_s) and self.ready_line:
            return
        ended = self.has_ended or self._process.poll() is not None
        reason = f"ended before it was ready, {self.describe_end()}" if ended else f"was not ready within {start_timeout_s:g} s, then {self.describe_end()}"
        raise HeadraceError("SIDECAR_FAILED", f"the sidecar {reason}", hint="the lines above are the end of its log")

    def _is_held(self) -> bool:
        """Whether some process still has an end of its output."""
        return any(reader.is_alive() and reader is not threading.current_thread() for reader in self._readers)

    def _join_readers(self, deadline: float) -> None:
        for reader in self._readers:
            if reader is not threading.current_thread():  # which calls on_end, or the garbage collector
                reader.join(timeout=max(0.0, deadline - time.monotonic()))

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def _read_stdout(self) -> None:
        for line in _lines(self._process.stdout):
            if not self.ready_line:
                self.ready_line = line
                self._ready.set()
        self._output_ended.set()
        self._ready.set()
        self.on_end(self)

    def _read_stderr(self) -> None:
        for line in _lines(self._process.stderr):
            self._log.append(line)
            # until it is ready an exception has what is no message of its logger; later nobody else would say it
            _sidecar_log.log(_level_of(line) or (logging.WARNING if self.ready_line else logging.INFO), "%s", line)


_started: weakref.WeakSet[Sidecar] = weakref.WeakSet()


def _let_go_after_fork() -> None:
    """A forked child that outlived its parent would keep the sidecar's standard input open, and so the sidecar alive."""
    for sidecar in list(_started):
        sidecar._close_stdin()


os.register_at_fork(after_in_child=_let_go_after_fork)


def _level_of(line: str) -> int | None:
    """Of a line of the sidecar's log in JSON; None for anything else, such as a crash of Node."""
    try:
        return LOG_LEVELS[json.loads(line)["level"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    for line in stream or ():
        yield line.decode(errors="replace").rstrip()
