"""Objects that are closed at the end of a `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

Itself = TypeVar("Itself", bound="Closing")


class Closing(ABC):
    """Base of objects that hold files or threads until they are closed; a context manager."""

    @abstractmethod
    def close(self) -> None:
        """Release all files and threads; a second call does nothing."""

    def __enter__(self: Itself) -> Itself:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
