"""System errors of files that may be whole: these files do not count as damaged, and are not made again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from omnitrack.errors import UnavailableError

BUSY = {errno.EAGAIN, errno.EWOULDBLOCK}
FORBIDDEN = {errno.EACCES, errno.EPERM}
OUT_OF_REACH = {
    *(errno.EBUSY, errno.EIO, errno.EINTR, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.ENODEV, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
}


def unavailable(path: Path, error: BaseException) -> UnavailableError | None:
    """Return the error for a file that cannot be read now; None if the exception has another cause."""
    number = error.errno if isinstance(error, OSError) else None
    if number in BUSY:
        hint = "let it finish, or stop it, and type the same again"
        return UnavailableError(f"{path} is in use by another program", hint)
    if number in FORBIDDEN:
        return UnavailableError(f"{path} may not be read: permission denied", "check its owner and permissions")
    if number in OUT_OF_REACH:
        hint = "the file itself may be whole: see what the system says of its disk, then type the same again"
        return UnavailableError(f"{path} cannot be read now: {os.strerror(number or 0)}", hint)
    return None
