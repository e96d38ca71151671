"""A cache bounded by the memory of its values."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """Keeps the most recently used values; may be used by several threads.

    Where more values than fit are read in the same order again and again, each would be evicted just before it is
    needed. With rounds (`begin_round`), values used in the current round stay, and a new one that does not fit beside
    them is not kept.

    Args:
        most_bytes: Largest total size of the values.
        bytes_of: Returns the size of a value in bytes.
        least: Number of values that are kept however large they are.
    """

    def __init__(self, most_bytes: float, bytes_of: Callable[[Value], int], least: int = 0) -> None:
        self._most_bytes, self._bytes_of, self._least = most_bytes, bytes_of, least
        self._values: OrderedDict[Key, Value] = OrderedDict()  # most recent last
        self._in_round: set[Key] | None = None  # what was used in the current round; None without rounds
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return the cached value of a key; None if there is none."""
        with self._lock:
            if key in self._values:
                self._use(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Cache a value; an existing value of that key stays."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._bytes += self._bytes_of(value)
            while len(self._values) > self._least and self._bytes > self._most_bytes:
                needed = self._in_round is not None and next(iter(self._values)) in self._in_round
                evicted, gone = self._values.popitem(last=needed)
                self._bytes -= self._bytes_of(gone)
                if evicted == key:
                    return
            self._use(key)

    def through(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made if it is not cached; several threads may make values at the same time."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value

    def begin_round(self) -> None:
        """Let the values that are used from now on stay until the next round begins."""
        with self._lock:
            self._in_round = set()

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._values.clear()
            self._bytes = 0

    def _use(self, key: Key) -> None:
        self._values.move_to_end(key)
        if self._in_round is not None:
            self._in_round.add(key)
