"""Ends an answer at a stop string, and holds back text that may yet turn out to be the start of one."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class StopStrings:
    """The text of one answer on its way out.

    Attributes
    ----------
    stops
        Strings that end the answer.
    keeps_stop
        Whether the string itself is told.
    is_hit
        Whether one has come.
    """

    stops: Sequence[str]
    keeps_stop: bool = False
    is_hit: bool = False
    _held: str = ""

    def push(self, text: str) -> str:
        """Take more text and return what can be told now; nothing any more after a stop string."""
        if self.is_hit:
            return ""
        self._held += text
        found = min(((self._held.find(stop), stop) for stop in self.stops if stop in self._held), default=None)
        if found is not None:
            place, stop = found
            self.is_hit = True
            return self._let_go(place + len(stop) * self.keeps_stop)
        return self._let_go(len(self._held) - self._started())

    def rest(self) -> str:
        """Return what was held back; the answer is over."""
        return "" if self.is_hit else self._let_go(len(self._held))

    def _let_go(self, length: int) -> str:
        told, self._held = self._held[:length], self._held[length:]
        return told

    def _started(self) -> int:
        """Return the length of the longest end that is the start of a stop string."""
        longest = max((len(stop) - 1 for stop in self.stops), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self.stops):
                return length
        return 0
