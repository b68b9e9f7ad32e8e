"""Python to machine code, by numba. Enters: functions over arrays and numbers. Leaves: the same, compiled.

For the few loops that numpy and polars cannot do at once: over bytes, and over readings that depend on the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Machine code for `function`, kept on disk; where no folder can be written, compiled anew in each process.

    It may not create arrays, and so does not count references to those it is given: counting took more than half of the
    time of small functions. What it calls must stand in the same module: the code on disk is kept until that changes.
    """
    options: dict[str, Any] = {"_nrt": False}
    try:
        return cast("F", numba.njit(cache=True, **options)(function))
    except RuntimeError:
        return cast("F", numba.njit(**options)(function))
