"""How much memory a process may still take: of the machine, and of the control groups it is in."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CACHES = ("auto", "none", "ram")  # where decoded images are kept, see `cache.is_wanted`

# Of a version of control groups: its hierarchy, and the files with the limit, the usage, and how
# much of that is cached files, which the kernel gives back when memory is asked for.
_VERSIONS = (
    ("", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        *("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
)


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that are free: of the machine, or of a control group that has less left, such
    as that of a container, of a unit of systemd or of a job of Slurm.

    Args:
        root: of the file system that holds `proc` and `sys`.

    Returns:
        `None` where the system does not say it as Linux does.
    """
    try:
        free = _number_in(root / "proc/meminfo", "MemAvailable:")
    except OSError:
        return None
    left = [*_left_in_groups(root)] + ([] if free is None else [1024 * free])
    return max(0, min(left)) if left else None


def _left_in_groups(root: Path) -> Iterator[int]:
    """What the groups of this process, and all above them, have left."""
    for controller, hierarchy, limit, used, cached in _VERSIONS:
        group = _group_of(root, controller)
        # Of a container that sees the groups of its host by name alone, its own is the topmost.
        for part in (group, *group.parents):
            folder = root / hierarchy / part
            try:
                most, usage = (int((folder / name).read_text()) for name in (limit, used))
            except (OSError, ValueError):  # no such group, or its limit is "max"
                continue
            yield most - (usage - _cached(folder / "memory.stat", cached))


def _group_of(root: Path, controller: str) -> PurePosixPath:
    """The group of this process in the hierarchy of a controller, relative to its top."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controller in controllers.split(","):
            # Above what the process may see it has `..`.
            return PurePosixPath(*(part for part in path.split("/") if part not in ("", "..")))
    return PurePosixPath()


def _cached(file: Path, name: str) -> int:
    try:
        return _number_in(file, name) or 0
    except OSError:
        return 0


def _number_in(file: Path, name: str) -> int | None:
    """The number behind a name in a file that has one on each line."""
    for line in file.read_text().splitlines():
        words = line.split()
        if words[:1] == [name] and len(words) > 1 and words[1].isdecimal():
            return int(words[1])
    return None
