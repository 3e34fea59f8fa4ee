"""Keeps the machine's sidecar running for as long as a loader wants one: starts it where none is, and again when it dies."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Sequence

from .errors import HeadraceError
from .sidecar import Sidecar, answers

# how often a sidecar that died is started again before a batch was given out: more would be the same each time
RESTARTS_MAX = 2

_log = logging.getLogger("headrace")

# of this process, and, where it was forked, of its parent
_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()


class Keeper:
    """
    A sidecar that dies is replaced at once, from the thread that sees its output end, and not when this process waits for a batch:
    it may be waiting in a collective for another rank of the machine, which waits for its batch in vain.

    Loaders of one process and one configuration, such as those of training and validation, share a sidecar: who started it hands it on when it is closed.
    """

    def __init__(self, config: str, address: str, command: Sequence[str] | None, start_timeout_s: float) -> None:
        self._config = config
        self._address = address
        self._command = command
        self._start_timeout_s = start_timeout_s
        self._sidecar: Sidecar | None = None
        self._failure: HeadraceError | None = None
        self._restarts = 0
        self._closed = False
        # reentrant, because the garbage collector can call stop() from anywhere
        self._lock = threading.RLock()
        self._process = os.getpid()
        _keepers.add(self)

    @property
    def pid(self) -> int | None:
        """Of the sidecar that this keeper started or was handed; None where there is none."""
        sidecar = self._sidecar
        return None if sidecar is None else sidecar.pid

    @property
    def has_failed(self) -> bool:
        """Whether ensure() has an error to tell."""
        return self._failure is not None

    def begin(self) -> None:
        """Starts a sidecar where none is, and does not wait for it. Errors: ``SIDECAR_NOT_FOUND``."""
        with self._lock:
            if self._closed or self._sidecar is not None or self._is_kept_elsewhere() or answers(self._address):
                return
            self._sidecar = Sidecar(self._config, self._address, self._command, on_end=self._replace)

    def ensure(self) -> None:
        """
        Starts a sidecar where none is, and waits until it is ready. One that another keeper started is not waited for: it answers when it can.

        Errors: ``SIDECAR_FAILED``, also of an earlier one; ``SIDECAR_NOT_FOUND``.
        """
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            self.begin()
            sidecar = self._sidecar
        if sidecar is None or sidecar.ready_line:
            return
        try:
            sidecar.await_ready(self._start_timeout_s)
        except BaseException as error:  # Ctrl-C as well
            with self._lock:
                if self._sidecar is sidecar:
                    self._sidecar = None
            sidecar.stop()
            if isinstance(error, HeadraceError) and (self._closed or answers(self._address)):
                return  # told to end, or another process of this machine was quicker
            raise

    def _is_kept_elsewhere(self) -> bool:
        """Whether another keeper of this process has a sidecar of this address, which may not answer yet."""
        return any(keeper is not self and keeper._keeps(self._address) for keeper in list(_keepers))

    def _keeps(self, address: str) -> bool:
        sidecar = self._sidecar
        return sidecar is not None and not sidecar.has_ended and self._address == address and self._process == os.getpid()

    def delivered(self) -> None:
        """A batch was given out: what died before is no reason to give up."""
        self._restarts = 0

    def stop(self) -> None:
        """Ends the sidecar, or hands it to another keeper of it, and starts no other. May be called again."""
        self._closed = True
        with self._lock:
            sidecar, self._sidecar = self._sidecar, None
        if sidecar is None or (sidecar.ready_line and any(keeper._takes(sidecar, self._address) for keeper in list(_keepers))):
            return
        sidecar.stop()

    def _takes(self, sidecar: Sidecar, address: str) -> bool:
        with self._lock:
            if self._closed or self._process != os.getpid() or self._address != address or self._sidecar is not None:
                return False
            self._sidecar = sidecar
        sidecar.on_end = self._replace
        if sidecar.has_ended:  # perhaps before this keeper was told of such things
            self._replace(sidecar)
        return True

    def _replace(self, sidecar: Sidecar) -> None:
        """In a thread of the sidecar that ended."""
        with self._lock:
            # one that was never ready is the business of whoever waits for it
            if self._closed or self._sidecar is not sidecar or not sidecar.ready_line:
                return
            how = sidecar.describe_end()
            self._sidecar = None
            self._restarts += 1
            if self._restarts > RESTARTS_MAX:
                message = f"the sidecar ended {self._restarts} times before a batch came, the last time {how}"
                self._fail(HeadraceError("SIDECAR_FAILED", message, hint="the lines above are the end of its log"))
                return
        _log.warning("the sidecar ended and is started again; it ended with %s", how)
        try:
            self.ensure()
        except HeadraceError as error:
            self._fail(error)

    def _fail(self, error: HeadraceError) -> None:
        _log.error("%s", error)
        self._failure = error
