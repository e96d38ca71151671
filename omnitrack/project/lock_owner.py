"""The process that holds a project: how a file names it, and whether it is still there."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from omnitrack.atomic import process_lives


@dataclass(frozen=True)
class Owner:
    """A process that works on a project.

    Attributes:
        work: What it does, a command's name.
        pid: Its number.
        born: When it began, in its system's words: a number is used again.
        host: The machine it runs on.
        since: Since when it holds the project.
    """

    work: str
    pid: int
    born: str
    host: str
    since: str

    @classmethod
    def here(cls, work: str) -> Owner:
        """This process, now."""
        pid = os.getpid()
        return cls(work, pid, born(pid), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))

    @classmethod
    def read(cls, text: bytes) -> Owner | None:
        """Whom the text of a file names; None where it makes no sense."""
        try:
            found = json.loads(text)
            owner = cls(**found)
        except (ValueError, TypeError):
            return None
        return owner if isinstance(owner.pid, int) and owner.pid > 0 else None

    def text(self) -> bytes:
        """What a file says that names this process."""
        return json.dumps(asdict(self)).encode()

    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    def lives(self) -> bool:
        """Whether it is still there; of another machine nobody can tell."""
        if not self.is_here():
            return True
        return bool(born(self.pid)) and born(self.pid) == self.born

    def __str__(self) -> str:
        return f"omnitrack {self.work} (process {self.pid} on {self.host}, since {self.since})"


def born(pid: int) -> str:
    """When a process began, in the system's words; empty: there is none, "unknown": nobody can tell."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return "" if Path("/proc/self").is_dir() or not process_lives(pid) else "unknown"
