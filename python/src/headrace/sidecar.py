"""Starts the machine's sidecar for a configuration file, and ends it again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from .errors import HeadraceError

# a Unix socket's path has 104 bytes on macOS and 108 on Linux, the final NUL included
SOCKET_PATH_BYTES_MAX = 103
# what is kept of the sidecar's log for an error message
LOG_LINES_KEPT = 20
# after SIGTERM, before SIGKILL: sessions of this process have left by then, others get a little time
GRACE_S = 15.0


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
        try:
            probe.connect(address[len("ipc://") :])
        except OSError:
            return False
    return True


def find_command(config: str) -> list[str]:
    """HEADRACE_COMMAND, ``headrace`` on the PATH, or ``node_modules/.bin/headrace`` above the configuration or the working directory. Errors: ``SIDECAR_NOT_FOUND``."""
    configured = os.environ.get("HEADRACE_COMMAND")
    if configured:
        return shlex.split(configured)
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
    """A sidecar that this process started. It ends when this process does, however this process ends: its standard input closes then."""

    def __init__(self, config: str, address: str, command: Sequence[str] | None, start_timeout_s: float) -> None:
        argv = [*(command or find_command(config)), "serve", config, "--address", address, "--exit-with-stdin"]
        try:
            # in a session of its own, so that Ctrl-C in the terminal reaches the trainer only, which then ends the sidecar in order
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            raise HeadraceError("SIDECAR_NOT_FOUND", f"cannot start {argv[0]}: {error}", hint="name the command in command= or HEADRACE_COMMAND") from error
        self._log: deque[str] = deque(maxlen=LOG_LINES_KEPT)
        self._ready = threading.Event()
        self._readers = [
            threading.Thread(target=self._read_stdout, name="headrace-sidecar-out", daemon=True),
            threading.Thread(target=self._read_stderr, name="headrace-sidecar-log", daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.ready_line = ""
        if not self._ready.wait(start_timeout_s) or not self.ready_line:
            ended = self._process.poll() is not None or not self._readers[0].is_alive()
            self.stop()
            reason = "ended before it was ready" if ended else f"was not ready within {start_timeout_s:g} s"
            log = "\n".join(self._log)
            raise HeadraceError("SIDECAR_FAILED", f"the sidecar {reason}:\n{log}", hint="the lines above are the end of its log")

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Ends the sidecar and waits for it. May be called again."""
        process = self._process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.join(timeout=5.0)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _read_stdout(self) -> None:
        for line in _lines(self._process.stdout):
            if not self.ready_line:
                self.ready_line = line
                self._ready.set()
        self._ready.set()

    def _read_stderr(self) -> None:
        for line in _lines(self._process.stderr):
            self._log.append(line)


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    for line in stream or ():
        yield line.decode(errors="replace").rstrip()
