"""Cursors: where a stream stands, as the small JSON that a checkpoint carries. docs/wire.md has the form."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import HeadraceError

Cursor = dict[str, Any]

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
    return state


def loaded_cursor(state: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Cursor | None:
    """A state, or those of several ranks, as one cursor of its own; None for the very start. Errors: ``CURSOR_INVALID``, ``CURSOR_MISMATCH``."""
    given = [state] if isinstance(state, Mapping) or not isinstance(state, Iterable) else list(state)
    if given and all(isinstance(item, Mapping) and not item for item in given):
        return None
    if any(isinstance(item, Mapping) and not item for item in given):
        raise _mismatch("step", "some are of the very start and others are not")
    return copy.deepcopy(merge_state(given))


def merge_state(states: Sequence[Mapping[str, Any]]) -> Cursor:
    """
    Joins the states of several ranks into one, by lane, for a run with another number of ranks.

    All must be of one step and one plan, must agree about lanes that several of them hold, and together must hold every lane.
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


def after(cursor: Cursor, delta: Mapping[str, Any]) -> Cursor:
    """The cursor after a batch, from the one before it and what the batch says."""
    return {**cursor, "step": delta["step"], "mixture": delta["mixture"], "lanes": {**cursor["lanes"], **delta["lanes"]}}


def _mismatch(field: str, problem: str) -> HeadraceError:
    return HeadraceError(
        "CURSOR_MISMATCH",
        f"these states cannot be merged: {problem}",
        hint="merge the states that all ranks saved in one checkpoint",
        detail={"field": field},
    )
