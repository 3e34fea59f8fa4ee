"""Cursors: where a stream stands, as the small JSON that a checkpoint carries. docs/wire.md has the form."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import HeadraceError

Cursor = Mapping[str, Any]
"""As received or loaded, which nobody writes to; ``plain`` makes the caller's own."""

VERSION = 2

_FORM = {"version": int, "step": int, "plan": dict, "mixture": list, "lanes": dict}


def check_cursor(state: object) -> Cursor:
    """The state as a cursor. The sidecar checks the rest. Errors: ``CURSOR_INVALID``."""
    version = state.get("version") if isinstance(state, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise HeadraceError(
            "CURSOR_INVALID",
            f"the state has version {version!r}; this headrace reads version {VERSION}",
            hint="continue with the version of headrace that wrote it: another one may order the stream otherwise",
        )
    if not isinstance(state, dict) or not all(isinstance(state.get(key), kind) for key, kind in _FORM.items()):
        raise HeadraceError(
            "CURSOR_INVALID",
            "this is no state of a headrace.DataLoader",
            hint="pass what state_dict() gave; a truncated checkpoint cannot be continued",
        )
    rows = state.get("rows")
    if rows is not None and not _is_part(rows):
        raise HeadraceError(
            "CURSOR_INVALID",
            f"the state's rows are {rows!r}, which is no part of a step",
            hint="pass what state_dict() gave; a truncated checkpoint cannot be continued",
            detail={"field": "rows"},
        )
    return state


def _is_part(rows: object) -> bool:
    """``{"given": 2, "of": 8}``: so many of a rank's rows of the next step were given out."""
    if not isinstance(rows, dict) or rows.keys() != {"given", "of"} or not all(type(count) is int for count in rows.values()):
        return False
    return bool(0 < rows["given"] < rows["of"])


def rows_given(cursor: Cursor, world_size: int, micro_batch: int | None) -> int:
    """
    How many of its rows of the next step a rank has had already: 0 between steps.

    Errors: ``CURSOR_MISMATCH``, where ranks have other rows than in the run that saved it, or micro-batches would begin elsewhere.
    """
    rows = cursor.get("rows")
    if rows is None:
        return 0
    given, of = int(rows["given"]), int(rows["of"])
    where = f"the state is of the middle of step {cursor['step']}, after {given} of {of} rows of a rank"
    if of * world_size != cursor["plan"].get("batch.size"):
        raise HeadraceError(
            "CURSOR_MISMATCH",
            f"{where}; with world_size {world_size} ranks have other rows",
            hint="continue with as many ranks as saved it, or from a checkpoint between two steps, which any number of ranks can continue",
            detail={"field": "rows"},
        )
    if given % (micro_batch or of) != 0:
        raise HeadraceError(
            "CURSOR_MISMATCH",
            f"{where}; no micro-batch of {micro_batch or of} rows begins there",
            hint="pass a micro_batch that divides both, such as the one that it was saved with",
            detail={"field": "rows"},
        )
    return given


def between_steps(cursor: Cursor) -> Cursor:
    """Where a sidecar goes on: it serves whole steps, and knows nothing of the rows that a client gave out."""
    return {key: value for key, value in cursor.items() if key != "rows"}


def loaded_cursor(state: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Cursor | None:
    """A state, or those of several ranks, as one cursor; None for the very start. Errors: ``CURSOR_INVALID``, ``CURSOR_MISMATCH``."""
    given = [state] if isinstance(state, Mapping) or not isinstance(state, Iterable) else list(state)
    if given and all(isinstance(item, Mapping) and not item for item in given):
        return None
    if any(isinstance(item, Mapping) and not item for item in given):
        raise _mismatch("step", "some are of the very start and others are not")
    return plain(merge_state(given))


def merge_state(states: Sequence[Mapping[str, Any]]) -> Cursor:
    """
    Joins the states of several ranks into one, by lane, for a run with another number of ranks.

    All must be of one step and one plan, must agree about lanes that several of them hold, and together must hold every lane.
    States of the middle of a step (see ``DataLoader.state_dict``) are joined only where all ranks had as many rows of it; what comes of them can be
    continued by as many ranks only. Between steps any number of ranks can go on: save there.
    Errors: ``CURSOR_INVALID``, ``CURSOR_MISMATCH`` naming what differs.
    """
    if not states:
        raise HeadraceError("CURSOR_INVALID", "there is no state to merge")
    cursors = [check_cursor(dict(state) if isinstance(state, Mapping) else state) for state in states]
    first = cursors[0]
    lanes: dict[str, Any] = {}
    for cursor in cursors:
        # two splits differ in other entries as well
        for field in ["split", *sorted({*first["plan"], *cursor["plan"]})]:
            if first["plan"].get(field) != cursor["plan"].get(field):
                raise _mismatch(f"plan.{field}", f"{field} is {first['plan'].get(field)!r} in one and {cursor['plan'].get(field)!r} in another")
        if cursor["step"] != first["step"]:
            raise _mismatch("step", f"they are of different steps ({first['step']} and {cursor['step']})")
        if cursor.get("rows") != first.get("rows"):
            raise _mismatch("rows", f"their ranks were at different rows of step {first['step']}")
        if cursor["mixture"] != first["mixture"]:
            raise _mismatch("mixture", "the weights of their runs were changed differently")
        for lane, position in cursor["lanes"].items():
            if lanes.setdefault(lane, position) != position:
                raise _mismatch(f"lanes.{lane}", f"two of them disagree about lane {lane}")
    if len(cursors) > 1:
        for lane in map(str, range(first["plan"].get("batch.lanes", 0))):
            if lane not in lanes:
                raise _mismatch(f"lanes.{lane}", f"none of them holds lane {lane}")
    return {**first, "lanes": lanes}


class CursorAfter(Cursor):
    """
    The cursor after a batch: ``start``, where the session started, with what the batch says. Only its step is at hand, the rest is made when somebody asks
    for it: a trainer that saves a state now and then has no use for that of most batches.

    :param positions: [lanes, sources, 6], of all lanes of ``start``.
    """

    __slots__ = ("_lanes", "_made", "_mixture", "_positions", "_sources", "_start", "_step")

    def __init__(
        self,
        start: Cursor,
        step: int,
        mixture: Sequence[Any],
        lanes: Sequence[int],
        sources: Sequence[str],
        positions: NDArray[np.float64],
    ) -> None:
        self._start = start
        self._step = step
        self._mixture = mixture
        self._lanes = lanes
        self._sources = sources
        self._positions = positions
        self._made: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        return self._step if key == "step" else self._whole()[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in _FORM else default

    def __iter__(self) -> Iterator[str]:
        return iter(_FORM)

    def __len__(self) -> int:
        return len(_FORM)

    def _whole(self) -> dict[str, Any]:
        if self._made is None:
            states = self._positions.astype(np.int64).tolist()
            lanes = {str(lane): dict(zip(self._sources, state)) for lane, state in zip(self._lanes, states)}
            self._made = {**self._start, "step": self._step, "mixture": self._mixture, "lanes": lanes}
        return self._made


def plain(cursor: Cursor) -> dict[str, Any]:
    """The caller's own: it may be changed, and written as JSON."""
    return copy.deepcopy(dict(cursor))


def _mismatch(field: str, problem: str) -> HeadraceError:
    return HeadraceError(
        "CURSOR_MISMATCH",
        f"these states cannot be merged: {problem}",
        hint="merge the states that all ranks saved in one checkpoint",
        detail={"field": field},
    )
