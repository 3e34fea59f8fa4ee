"""Cursors: where a stream stands, as the small JSON that a checkpoint carries. docs/wire.md has the form."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import HeadraceError

Cursor = dict[str, Any]

_FORM = {"version": int, "step": int, "plan": dict, "lanes": dict}


def check_cursor(state: object) -> Cursor:
    """The state as a cursor. The sidecar checks the rest. Errors: ``CURSOR_INVALID``."""
    if not isinstance(state, dict) or not all(isinstance(state.get(key), kind) for key, kind in _FORM.items()):
        raise HeadraceError(
            "CURSOR_INVALID",
            "this is no state of a headrace.DataLoader",
            hint="pass what state_dict() gave; a truncated checkpoint cannot be continued",
        )
    if state["version"] != 1:
        raise HeadraceError("CURSOR_INVALID", f"the state has version {state['version']!r}; this headrace reads version 1", hint="update headrace")
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

    All must be of one step and one plan, and must agree about lanes that several of them hold.
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
        for lane, position in cursor["lanes"].items():
            if lanes.setdefault(lane, position) != position:
                raise _mismatch(f"lanes.{lane}", f"two of them disagree about lane {lane}")
    return {"version": 1, "step": first["step"], "plan": first["plan"], "lanes": lanes}


def after(cursor: Cursor, delta: Mapping[str, Any]) -> Cursor:
    """The cursor after a batch, from the one before it and what the batch says."""
    return {**cursor, "step": delta["step"], "lanes": {**cursor["lanes"], **delta["lanes"]}}


def _mismatch(field: str, problem: str) -> HeadraceError:
    return HeadraceError(
        "CURSOR_MISMATCH",
        f"these states cannot be merged: {problem}",
        hint="merge the states that all ranks saved in one checkpoint",
        detail={"field": field},
    )
