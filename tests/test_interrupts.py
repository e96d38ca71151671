"""A signal ends the work also where Python drops its exception."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOST = """
import os, signal, sys, time, weakref
from omnitrack.interrupts import end_on

class Stopped(KeyboardInterrupt):
    pass

class Thing:
    def __del__(self):
        interrupted(None)

def interrupted(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(10):  # the handler is called between two of these instructions
        pass

def end():
    raise Stopped

end_on(signal.SIGTERM, end=end, once=sys.argv[2] == "once")
class Plain:
    pass

if sys.argv[1] == "__del__":
    thing = Thing()
else:
    thing = Plain()
    reference = weakref.ref(thing, interrupted)
begin = time.monotonic()
try:
    del thing
    time.sleep(20)
    print("the signal was lost")
except Stopped:
    if time.monotonic() - begin > 10:
        print("late")
    if sys.argv[2] == "once":
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    print("stopped")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill(SIGTERM) ends a process on Windows")
@pytest.mark.parametrize("once", ["once", "each time"])
@pytest.mark.parametrize("where", ["weak reference", "__del__"])
def test_a_signal_in_a_callback_is_not_lost(where: str, once: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOST, where, once], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("stopped\n", "")


OTHERS = """
import signal
from omnitrack.interrupts import end_on
end_on(signal.SIGTERM, end=exit)
class Thing:
    def __del__(self):
        raise ValueError("of something else")
Thing()
"""


def test_other_exceptions_are_reported_as_before() -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True, check=True)
    assert "ValueError: of something else" in done.stderr
