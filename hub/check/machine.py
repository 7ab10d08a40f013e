"""Checks of the machine: versions, clock, disk, limits, ports."""

import http.client
import json
import os
import re
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hub.check.finding import Finding, failure, ok, warning

YEARS = (2025, 2100)
SAMPLE_S = 0.2
DRIFT_S = 0.05
FREE_LEAST, FREE_FEW = 50 << 20, 500 << 20
SYNCS = 20
SYNC_SLOW_S = 0.05
FILES_FEW = 4096
PATIENCE_S = 3.0


def check_versions() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        remedy = "use a build of Python with the GIL: nothing of Motet was tested without"
        yield warning("python", f"{version}, free-threaded", remedy)
    else:
        yield ok("python", version)
    for extra, needed in (("hub", True), ("edge", False)):
        wrong = list(_wrong_libraries(extra))
        if not wrong:
            yield ok(f"libraries of {extra}", "as they should be")
        else:
            remedy = f'pip install "motet[{extra}]"' + ("" if needed else ", if an edge is to run here")
            yield (failure if needed else warning)(f"libraries of {extra}", "; ".join(wrong), remedy)


def _wrong_libraries(extra: str) -> Iterator[str]:
    """Those that are missing, or pinned and of another version."""
    for requirement in metadata.requires("motet") or ():
        named = re.match(rf"([\w.-]+)(?:\[.*?\])?(?:==([\w.]+))?.*extra == ['\"]{extra}['\"]", requirement)
        if named is None:
            continue
        name, pinned = named.groups()
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name} is missing"
            continue
        if pinned and installed != pinned:
            yield f"{name} is {installed} and must be {pinned}"


def check_clock() -> Iterator[Finding]:
    year = time.gmtime().tm_year
    remedy = "set the clock and keep it set: timedatectl set-ntp true"
    if not YEARS[0] <= year <= YEARS[1]:
        yield failure("clock", f"it says the year {year}: schedules and times would be wrong", remedy)
        return
    wall, mono = time.time(), time.monotonic()
    time.sleep(SAMPLE_S)
    drift = (time.time() - wall) - (time.monotonic() - mono)
    if abs(drift) > DRIFT_S:
        yield warning("clock", f"it was set by {drift:+.2f} s within {SAMPLE_S} s", remedy)
    else:
        yield ok("clock", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    try:
        ZoneInfo("Europe/Lisbon")
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        yield failure("time zones", f"there is no data of time zones: {error}", "pip install tzdata")
    else:
        yield ok("time zones", "there")


def check_disk(data: Path) -> Iterator[Finding]:
    """Space, and how long a small write with its fdatasync takes: in a file of its own, which goes again."""
    place = next(one for one in (data.absolute(), *data.absolute().parents) if one.exists())
    free = shutil.disk_usage(place).free
    found = f"{free >> 20} MiB free in {place}"
    remedy = "free some space, or choose a folder on another disk with --data"
    if free < FREE_LEAST:
        yield failure("space", found, remedy)
    elif free < FREE_FEW:
        yield warning("space", found, remedy)
    else:
        yield ok("space", found)
    try:
        seconds = _syncs(place)
    except OSError as error:
        remedy = "run as the user that the folder belongs to, and see that the disk is not read-only"
        yield failure("writing", f"{place} cannot be written: {error.strerror}", remedy)
        return
    median = statistics.median(seconds)
    slowest = f"the slowest of {SYNCS} in {max(seconds) * 1000:.1f}"
    found = f"a write of 4 KiB is on the disk in {median * 1000:.1f} ms, {slowest}"
    if median > SYNC_SLOW_S:
        yield warning("writing", found, "each change waits so long: choose a faster disk with --data")
    else:
        yield ok("writing", found)


def _syncs(place: Path) -> list[float]:
    taken = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return taken


def check_limits() -> Iterator[Finding]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY or most >= FILES_FEW:
        yield ok("open files", "no limit" if most == resource.RLIM_INFINITY else f"up to {most}")
    else:
        remedy = "raise it (ulimit -Hn, LimitNOFILE= of systemd): each device and each reader is one"
        yield warning("open files", f"up to {most}", remedy)


def check_ports(host: str, port: int, mqtt_port: int) -> Iterator[Finding]:
    """Free, or a hub's that runs. A port of 0 is any free one and not looked at."""
    health = _health(host, port) if port else None
    if health is None:
        for name, number, flag in (("HTTP port", port, "--port"), ("MQTT port", mqtt_port, "--mqtt-port")):
            yield from _free(name, host, number, flag)
        return
    found = f"a hub answers at {host}:{port}, version {health.get('version')}"
    if health.get("status") == "pass":
        yield ok("HTTP port", found)
    else:
        remedy = "see to the disk, then restart the hub"
        yield failure("HTTP port", f"{found}, and is not well: {health.get('output')}", remedy)
    if not mqtt_port:
        return
    try:
        socket.create_connection((host, mqtt_port), PATIENCE_S).close()
    except OSError as error:
        remedy = "give the check the hub's own --mqtt-port"
        yield warning("MQTT port", f"nobody listens at {host}:{mqtt_port}: {error}", remedy)
    else:
        yield ok("MQTT port", f"{host}:{mqtt_port} accepts connections")


def _health(host: str, port: int) -> dict[str, object] | None:
    """What a hub says there; None when none does."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health")
        said = json.loads(connection.getresponse().read(1 << 16))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return said if isinstance(said, dict) and said.get("description") == "motet hub" else None


def _free(name: str, host: str, port: int, flag: str) -> Iterator[Finding]:
    if not port:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        remedy = f"end the program that has it (ss -ltnp 'sport = :{port}'), or choose another with {flag}"
        yield failure(name, f"{host}:{port} cannot be had: {error.strerror}", remedy)
    else:
        yield ok(name, f"{host}:{port} is free")
