"""The sidecar's process, with scripts in its place: how it starts, fails, and ends."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headrace import DataLoader, HeadraceError
from headrace import sidecar as module
from headrace.keeper import Keeper
from headrace.sidecar import Sidecar, answers

READY = "import os, sys, time, signal\nprint('ready', flush=True)\n"
WAIT_FOR_STDIN = READY + "sys.stdin.read()\n"
DEAF = READY + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', file=sys.stderr, flush=True)\ntime.sleep(60)\n"


def command_of(tmp_path: Path, script: str) -> list[str]:
    file = tmp_path / "sidecar of a test.py"
    file.write_text(script)
    return [sys.executable, str(file)]


def loader_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, **options: Any) -> DataLoader:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    config = tmp_path / "a config.yaml"
    config.write_text("")
    options = {"rank": 0, "world_size": 1, "tensors": "numpy", "command": command_of(tmp_path, script), **options}
    return DataLoader(config, **options)


def start(tmp_path: Path, script: str, start_timeout_s: float = 20.0) -> Sidecar:
    sidecar = Sidecar("a config.yaml", "ipc:///nowhere", command_of(tmp_path, script))
    sidecar.await_ready(start_timeout_s)
    return sidecar


def await_end(pid: int, within_s: float = 10.0) -> bool:
    """Of a process that need not be a child."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("import sys; print('no such column', file=sys.stderr); sys.exit(3)", r"status 3:\nno such column"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("import time; time.sleep(60)", "not ready within 0.5 s"),
    ],
)
def test_says_why_it_did_not_start(tmp_path: Path, script: str, found: str) -> None:
    with pytest.raises(HeadraceError, match=found) as raised:
        start(tmp_path, script, 0.5 if "sleep" in script else 20.0)
    assert raised.value.code == "SIDECAR_FAILED"


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.5)
    sidecar = start(tmp_path, DEAF)
    while "deaf" not in sidecar._log:
        time.sleep(0.01)
    sidecar.stop()
    assert sidecar.describe_end().startswith("killed by SIGKILL")
    sidecar.stop()


@pytest.mark.parametrize("kept", ["leader", "follower"])
def test_nothing_of_a_wrapped_command_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.5)
    # as npx or a shell does: the sidecar is the child of what was started, and here it is deaf
    fork = "import os, sys, time\nchild = os.fork()\nif child:\n    print(child, flush=True)\n    time.sleep(60)\n"
    script = fork + "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n"
    if kept == "leader":
        script = script.replace("child = os.fork()\n", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n")
    sidecar = start(tmp_path, script)
    started = time.monotonic()
    stopping = threading.Thread(target=sidecar.stop, daemon=True)
    stopping.start()
    stopping.join(8)
    ended = not stopping.is_alive() and await_end(int(sidecar.ready_line), 1.0)
    if not ended:
        os.killpg(sidecar.pid, signal.SIGKILL)
    assert ended
    assert time.monotonic() - started < 8


FORKED = """
import os, sys, time
from headrace.sidecar import Sidecar
sidecar = Sidecar("x", "ipc:///nowhere", sys.argv[1:])
sidecar.await_ready(20)
child = os.fork()
if child == 0:
    time.sleep(30)
    os._exit(0)
print(sidecar.pid, child, flush=True)
time.sleep(30)
"""


def test_ends_with_the_trainer_though_a_forked_child_lives_on(tmp_path: Path) -> None:
    trainer = subprocess.Popen([sys.executable, "-c", FORKED, *command_of(tmp_path, WAIT_FOR_STDIN)], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    pid, child = (int(word) for word in trainer.stdout.readline().split())
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    try:
        assert await_end(pid)
        assert not await_end(child, 0.1)
    finally:
        os.kill(child, signal.SIGKILL)


def test_an_interrupt_while_it_starts_ends_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"import os, sys, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    main = threading.get_ident()

    def interrupt() -> None:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.02)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    keeper = Keeper("a config.yaml", "ipc:///nowhere", command_of(tmp_path, script), 20.0)
    with pytest.raises(KeyboardInterrupt):
        keeper.ensure()
    assert await_end(int(pid_file.read_text()))


def test_a_sidecar_that_dies_again_and_again_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = READY + "print('out of memory', file=sys.stderr)\nos._exit(137 - 128)\n"
    loader = loader_in(tmp_path, monkeypatch, script, timeout=30.0)
    with loader, pytest.raises(HeadraceError, match="ended 3 times before a batch came, the last time status 9:\nout of memory") as raised:
        next(loader)
    assert raised.value.code == "SIDECAR_FAILED"


def test_loaders_of_one_process_hand_their_sidecar_on(tmp_path: Path) -> None:
    listen = f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind({str(tmp_path / 's')!r})\ns.listen()\n"
    command, address = command_of(tmp_path, listen + WAIT_FOR_STDIN), f"ipc://{tmp_path / 's'}"
    first, second, elsewhere = (Keeper("a config.yaml", to, command, 20.0) for to in (address, address, "ipc:///nowhere"))
    for keeper in (first, second):
        keeper.ensure()
    pid = first.pid
    assert pid is not None
    assert second.pid is None
    first.stop()
    first.stop()
    assert [keeper.pid for keeper in (first, second, elsewhere)] == [None, pid, None]
    assert not await_end(pid, 0.2)
    # whoever has it starts it again when it dies, and ends it
    (tmp_path / "s").unlink()
    os.kill(pid, signal.SIGKILL)
    while second.pid in (pid, None):
        time.sleep(0.01)
    successor = second.pid
    assert successor is not None
    second.stop()
    assert await_end(successor)


def test_a_loader_starts_the_sidecar_when_it_is_made_and_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never_ready = "import sys; sys.stdin.read()"
    with loader_in(tmp_path, monkeypatch, never_ready) as first, loader_in(tmp_path, monkeypatch, never_ready, split="validation") as second:
        pid = first.sidecar_pid
        assert pid is not None
        assert not await_end(pid, 0.2)
        # though nobody answers yet
        assert second.sidecar_pid is None
        assert loader_in(tmp_path, monkeypatch, never_ready, rank=1, world_size=2).sidecar_pid is None
    assert await_end(pid)


def test_a_sidecar_that_failed_before_it_was_wanted_is_the_error_of_the_first_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loader_in(tmp_path, monkeypatch, "import sys; print('no such column', file=sys.stderr); sys.exit(3)") as loader:
        assert loader.sidecar_pid is not None
        assert await_end(loader.sidecar_pid)
        with pytest.raises(HeadraceError, match=r"status 3:\nno such column") as raised:
            next(loader)
        assert raised.value.code == "SIDECAR_FAILED"


def test_a_loader_that_cannot_be_made_leaves_no_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int | None] = []
    begin = Keeper.begin

    def observed(keeper: Keeper) -> None:
        begin(keeper)
        started.append(keeper.pid)

    monkeypatch.setattr(Keeper, "begin", observed)
    with pytest.raises(HeadraceError, match="tensors is 'jax'"):
        loader_in(tmp_path, monkeypatch, WAIT_FOR_STDIN, tensors="jax")
    [pid] = started
    assert pid is not None
    assert await_end(pid)
    with pytest.raises(HeadraceError, match="cannot start") as raised:
        loader_in(tmp_path, monkeypatch, "", command=[str(tmp_path / "nothing")])
    assert raised.value.code == "SIDECAR_NOT_FOUND"


def test_closing_does_not_wait_for_a_sidecar_that_starts(tmp_path: Path) -> None:
    keeper = Keeper("a config.yaml", "ipc:///nowhere", command_of(tmp_path, "import time; time.sleep(60)"), 60.0)
    starting = threading.Thread(target=keeper.ensure, daemon=True)
    starting.start()
    while keeper.pid is None:
        time.sleep(0.01)
    pid = keeper.pid
    keeper.stop()
    starting.join(5)
    assert not starting.is_alive()
    assert await_end(pid)


def test_a_full_queue_of_callers_is_somebody_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen(0)
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            for each in (first, second):
                each.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    each.connect(str(tmp_path / "s"))
            assert answers(f"ipc://{tmp_path}/s")
    assert not answers(f"ipc://{tmp_path}/s")


def test_the_log_goes_to_the_logging_of_python(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = ['{"level":30,"msg":"a"}', '{"level":40,"msg":"b"}', '{"level":50,"msg":"c"}', "a crash", "[1]", '{"level":[]}']
    caplog.set_level(logging.DEBUG, logger="headrace.sidecar")
    sidecar = start(tmp_path, READY + f"time.sleep(0.3)\nprint({chr(10).join(lines)!r}, file=sys.stderr, flush=True)\nsys.stdin.read()\n")
    deadline = time.monotonic() + 10
    while len(caplog.records) < len(lines) and time.monotonic() < deadline:
        time.sleep(0.01)
    sidecar.stop()
    assert [record.getMessage() for record in caplog.records] == lines
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "ERROR", "WARNING", "WARNING", "WARNING"]
