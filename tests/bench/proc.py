"""What the kernel says of processes: CPU seconds, memory, children."""

import os
import resource
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of all the threads of a process since its start."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * TICK_S


def family(pid: int) -> list[int]:
    """The process, its children and theirs."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except OSError:  # it has ended meanwhile
                continue
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def rss_mb(*pids: int) -> float:
    """Resident memory. Pages that a fork shares count in each of the processes."""
    return sum(_kilobytes(pid, "status", "VmRSS:") for pid in pids) / 1024


def pss_mb(*pids: int) -> float:
    """Resident memory where a shared page counts as its share: what the processes really take."""
    return sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in pids) / 1024


def _stat(pid: int) -> list[str]:
    """The fields from `state` on; the name before them may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _kilobytes(pid: int, file: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


class Others:
    """Counts the CPU that processes which are not ours take from now on: a busy machine spoils figures."""

    def __init__(self) -> None:
        self._total, self._busy = _machine_s()
        self._ours = _ours_s()

    def percent(self) -> float:
        """Of the whole machine. Only right when the children of the time between have ended."""
        total, busy = _machine_s()
        taken = busy - self._busy - (_ours_s() - self._ours)
        return max(0.0, taken / max(TICK_S, total - self._total) * 100)


def _machine_s() -> tuple[float, float]:
    """(all, busy) seconds of all cores since the boot."""
    numbers = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = numbers[3] + numbers[4]
    return sum(numbers) * TICK_S, (sum(numbers) - idle) * TICK_S


def _ours_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
