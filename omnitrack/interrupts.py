"""Signals that end the work, by an exception of the main thread that is not lost.

Python calls a signal's handler between any two instructions of the main thread. If these belong to the callback of a
weak reference, to a `__del__` or to a hook of the garbage collector, Python reports what the handler raises and drops
it: the work would go on. So the handler is called again until its exception is raised where something can catch it.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

AGAIN_SECONDS = 0.02  # until the next try: such callbacks are short


class _Handler:
    """Calls `end` on each signal, or with `once` on the first one only, and again when what it raised was lost."""

    latest: tuple[_Handler, int] | None = None

    def __init__(self, end: Callable[[], None], once: bool) -> None:
        self._end, self._once, self._called = end, once, False

    def __call__(self, number: int, frame: object) -> None:
        if self._once and self._called:
            return
        self._called, _Handler.latest = True, (self, number)
        self._end()

    def call_again(self, number: int) -> None:
        """Send the main thread the signal once more."""
        self._called = False
        timer = threading.Timer(AGAIN_SECONDS, _send, (number,))
        timer.daemon = True
        timer.start()


def end_on(*numbers: int, end: Callable[[], None], once: bool = False) -> None:
    """Call `end` in the main thread when one of these signals comes; it raises a `KeyboardInterrupt`, or exits.

    Args:
        numbers: The signals.
        end: What to do.
        once: Ignore all but the first of them, so that a second one does not disturb the saving.
    """
    handler = _Handler(end, once)
    for number in numbers:
        signal.signal(number, handler)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


def _send(number: int) -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None and callable(signal.getsignal(number)):
        signal.pthread_kill(main, number)  # wakes it if it sleeps
    else:
        _thread.interrupt_main(signal.Signals(number))


class _Hook:
    """Receives the exceptions that Python drops."""

    def __init__(self, others: Callable[[Any], object]) -> None:
        self._others = others

    def __call__(self, dropped: Any) -> None:
        if isinstance(dropped.exc_value, KeyboardInterrupt) and _Handler.latest is not None:
            handler, number = _Handler.latest
            handler.call_again(number)
        else:
            self._others(dropped)
