"""The one error class of headrace; its codes are those of the sidecar, listed in docs/errors.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

Scalar = Union[str, int, float, bool, None]


class HeadraceError(Exception):
    """An error with a stable ``code``, a one-line ``message``, facts in ``detail``, and a ``hint`` that says what to do."""

    def __init__(self, code: str, message: str, *, hint: str = "", detail: Mapping[str, Scalar] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.detail = dict(detail or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" ({self.hint})" if self.hint else "")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.code, self.message, self.hint, self.detail))


def _rebuild(code: str, message: str, hint: str, detail: dict[str, Scalar]) -> HeadraceError:
    return HeadraceError(code, message, hint=hint, detail=detail)
