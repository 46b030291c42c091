"""Locks of cache files, so that processes that start together compile each kernel once.

All locks of a folder are bytes of one file, ``kernels.lock``. The system releases those of a
process that ends. On systems without such locks, and in folders where they fail, each process
compiles by itself.
"""

import errno
import hashlib
import os
import sys
import threading
from pathlib import Path

LOCK_FILE = "kernels.lock"

LONGEST_WAIT = 120.0
"""Time after which a process no longer waits for another and compiles by itself, s."""

POLL_SECONDS = 0.02

_held: set[str] = set()
"""Index files whose locks this process has. numba compiles in one thread at a time."""

_files: dict[Path, int] = {}
"""Descriptors of lock files, by folder. Closing one would release all locks in it."""


def try_lock(index: str) -> bool:
    """Take the lock of a kernel's index file; return False if another process has it.

    True is returned again to the process that has it, and where locks do not work.
    """
    if index in _held or _lock_byte(index, take=True):
        _held.add(index)
        return True
    return False


def wait_for_lock(index: str) -> None:
    """Wait until the lock is taken, or for the longest time."""
    never = threading.Event()
    for _ in range(round(LONGEST_WAIT / POLL_SECONDS)):
        if try_lock(index):
            return
        never.wait(POLL_SECONDS)


def release_lock(index: str) -> None:
    """Release a lock if this process has it."""
    if index in _held:
        _lock_byte(index, take=False)
        _held.discard(index)


def release_all_locks() -> None:
    """Release all locks of this process, such as those of kernels that could not be compiled."""
    for index in tuple(_held):
        release_lock(index)


def _lock_byte(index: str, *, take: bool) -> bool:
    """Lock or unlock the byte of an index file; return False if another process has it."""
    if sys.platform == "win32":
        return True
    import fcntl

    path = Path(index)
    place = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:6])
    try:
        descriptor = _open_lock_file(path.parent)
    except OSError:
        return True
    try:
        mode = fcntl.LOCK_EX | fcntl.LOCK_NB if take else fcntl.LOCK_UN
        fcntl.lockf(descriptor, mode, 1, place)
    except OSError as error:
        return not take or error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def _open_lock_file(folder: Path) -> int:
    """Return the descriptor of a folder's lock file, opened once in each process."""
    descriptor = _files.get(folder)
    if descriptor is None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = _files[folder] = os.open(folder / LOCK_FILE, flags, 0o600)
    return descriptor
