"""Decorators of compiled functions: machine code, kept between runs where there is a place to keep it.

Importing this file imports the compiler: half a second and about 100 MB. Import it only where something is simulated.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
T = TypeVar("T")


compiled = njit(error_model="numpy")
"""A function that compiled ones call; division by zero is not checked, as it costs a branch at every block count."""


def kept(function: Callable[P, T]) -> Callable[P, T]:
    """Compile what others call, and keep the machine code of it and of all that it calls.

    Where neither the source's directory nor the user's cache can be written, every process compiles anew: set
    ``NUMBA_CACHE_DIR`` to a directory that can.
    """
    try:
        return njit(error_model="numpy", cache=True)(function)
    except RuntimeError:  # nowhere to keep it
        return njit(error_model="numpy")(function)
