"""A cache that is bounded by the memory of what it holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """Keeps the values that were asked for last; may be used by several threads.

    Args:
        most_bytes: What they may take together.
        bytes_of: What one takes.
        least: So many are kept however large they are.
    """

    def __init__(self, most_bytes: float, bytes_of: Callable[[Value], int], least: int = 0) -> None:
        self._most_bytes, self._bytes_of, self._least = most_bytes, bytes_of, least
        self._values: OrderedDict[Key, Value] = OrderedDict()  # youngest last
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """The value that was put here, while it is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; one of that key stays."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._bytes += self._bytes_of(value)
            while len(self._values) > self._least and self._bytes > self._most_bytes:
                self._bytes -= self._bytes_of(self._values.popitem(last=False)[1])

    def through(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not here; several threads make values at the same time."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._values.clear()
            self._bytes = 0
