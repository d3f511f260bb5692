"""The system calls of the journal in one place: they are what can fail, so tests hand in others."""

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from typing import Final

_KEEP_SIZE: Final = 1  # FALLOC_FL_KEEP_SIZE
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_SUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def is_full(error: OSError) -> bool:
    return error.errno in _FULL


def is_unsupported(error: OSError) -> bool:
    return error.errno in _NOT_SUPPORTED


class Files:
    """Every method raises `OSError`; new files have mode 0600."""

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        os.close(fd)

    def lock(self, fd: int) -> None:
        """Take the file alone, or raise `BlockingIOError` at once."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """How many bytes were written, which may be fewer than given."""
        return os.pwrite(fd, data, offset)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut to `length`; also gives back blocks reserved beyond it."""
        os.ftruncate(fd, length)

    def reserve(self, fd: int, offset: int, length: int) -> None:
        """Reserve blocks without changing the file's size (`fallocate`, Linux)."""
        if _fallocate is None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if _fallocate(fd, _KEEP_SIZE, offset, length):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def free(self, fd: int) -> int:
        """Bytes that this process may still take of the file system."""
        found = os.fstatvfs(fd)
        return found.f_bavail * found.f_frsize

    def is_read_only(self, fd: int) -> bool:
        return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)

    def is_at(self, fd: int, path: Path) -> bool:
        """Whether the open file is the one that the path names now."""
        try:
            return os.path.samestat(os.fstat(fd), path.stat())
        except FileNotFoundError:
            return False

    def replace(self, path: Path, data: bytes) -> None:
        """Put a whole file in the place of another, durably: it is the old or the new."""
        fresh = path.with_name(path.name + ".new")
        fd = self.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self.write(fd, rest, len(data) - len(rest)) :]
            self.sync(fd)
        finally:
            self.close(fd)
        fresh.replace(path)
        self.sync_folder(path.parent)

    def sync_folder(self, folder: Path) -> None:
        """Make created and renamed files' names durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _find_fallocate() -> "ctypes._NamedFuncPointer | None":
    found = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if found is None or ctypes.sizeof(ctypes.c_long) != ctypes.sizeof(ctypes.c_int64):
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    found.restype = ctypes.c_int
    return found  # type: ignore[no-any-return]


_fallocate = _find_fallocate()
