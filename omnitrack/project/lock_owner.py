"""The process that holds a project: its description in a file, and whether it still runs."""

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
        work: Name of its command.
        pid: Its process ID.
        born: Its start time in the system's format, because process IDs are reused.
        host: The machine that it runs on.
        since: Time at which it took the project.
    """

    work: str
    pid: int
    born: str
    host: str
    since: str

    @classmethod
    def here(cls, work: str) -> Owner:
        """Describe this process, as an owner from now on."""
        pid = os.getpid()
        return cls(work, pid, born(pid), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))

    @classmethod
    def read(cls, text: bytes) -> Owner | None:
        """Parse the text of a file; None if it is malformed."""
        try:
            found = json.loads(text)
            owner = cls(**found)
        except (ValueError, TypeError):
            return None
        return owner if isinstance(owner.pid, int) and owner.pid > 0 else None

    def text(self) -> bytes:
        """Return the text of the file that names this process."""
        return json.dumps(asdict(self)).encode()

    def is_here(self) -> bool:
        """Return whether the process runs on this machine."""
        return self.host == socket.gethostname()

    def lives(self) -> bool:
        """Return whether the process still runs; True if it is on another machine, where this is unknown."""
        if not self.is_here():
            return True
        return bool(born(self.pid)) and born(self.pid) == self.born

    def __str__(self) -> str:
        return f"omnitrack {self.work} (process {self.pid} on {self.host}, since {self.since})"


def born(pid: int) -> str:
    """Return the start time of a process in the system's format; empty if there is none, "unknown" if unknown."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return "" if Path("/proc/self").is_dir() or not process_lives(pid) else "unknown"
