"""Decorators of compiled functions: machine code, kept between runs where there is a place to keep it.

Importing this file imports the compiler, which costs what docs/adr/0005 says: import it only where something is
simulated. Kept code lies in a folder named after a digest of all sources that it was made from: the compiler itself
looks only at the file of the outermost function, and would not notice a change in what that calls.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
from numba import njit
from numba.extending import intrinsic

P = ParamSpec("P")
T = TypeVar("T")

config: Any = numba.config
"""Settings of the compiler, whose stubs do not know them."""

HERE: Final = Path(__file__).resolve().parent
"""Every function that is compiled lies here."""

compiled = njit(error_model="numpy", forceinline=True)
"""A function that compiled ones call; division by zero is not checked, as it costs a branch at every block count.

Calls cost more than most functions do, as a table travels as ten numbers: inlining saves 40 % of a simulation.
"""


@intrinsic
def _borrowed(_typing: Any, table: Any) -> Any:
    """Generate the code of ``borrowed``."""

    def view(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        made = context.make_array(table)(context, builder, arguments[0])
        made.meminfo = made.meminfo.type(None)
        return made._getvalue()  # noqa: SLF001 - the compiler's own way to read a structure back

    return table(table), view


borrowed = cast("Callable[[T], T]", _borrowed)
"""The same table, but references to it are not counted: half of the time that is left. Its owner must outlive it."""


def kept(function: Callable[P, T]) -> Callable[P, T]:
    """Compile what others call, and keep the machine code of it and of all that it calls.

    Kept in the first of these that can be written: ``NUMBA_CACHE_DIR``, the folder of the sources, the user's cache.
    Where none can, every process compiles anew. Other threads go on while it runs.
    """
    before = config.CACHE_DIR
    try:
        for place in _places(before):
            config.CACHE_DIR = str(place / f"poolwright-{digest(HERE)}")
            try:
                return njit(error_model="numpy", nogil=True, cache=True)(function)
            except RuntimeError:  # the compiler found that it cannot write there
                continue
        return njit(error_model="numpy", nogil=True)(function)
    finally:
        config.CACHE_DIR = before


def digest(folder: Path) -> str:
    """Return a name for the state of all Python sources of a folder."""
    content = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        source = path.read_bytes()
        content.update(f"{path.name} {len(source)} ".encode() + source)
    return content.hexdigest()[:16]


def _places(configured: str) -> Iterator[Path]:
    if configured:
        yield Path(configured)
        return
    yield HERE / "__pycache__"
    with suppress(RuntimeError):  # a user without a home
        yield Path.home() / ".cache"
