"""All checks in order, and their report."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from hub.check.finding import FAILURE, OK, WARNING, Finding
from hub.check.machine import check_clock, check_disk, check_limits, check_ports, check_versions
from hub.check.store import check_store


def findings(data: Path, host: str, port: int, mqtt_port: int) -> Iterator[Finding]:
    """Of the machine first, then of what the hub keeps. Nothing of the data folder is changed."""
    return chain(
        check_versions(),
        check_clock(),
        check_limits(),
        check_ports(host, port, mqtt_port),
        check_disk(data),
        check_store(data),
    )


def failed(found: list[Finding]) -> bool:
    return any(finding.status == FAILURE for finding in found)


def as_json(found: list[Finding]) -> str:
    """{"status": the worst, "findings": [{"check", "status", "found", "remedy"}, …]}"""
    worst = next((status for status in (FAILURE, WARNING) if any(one.status == status for one in found)), OK)
    return json.dumps({"status": worst, "findings": [finding._asdict() for finding in found]})


def as_text(found: list[Finding]) -> str:
    """A line for each finding, and one below it with the remedy where there is one."""
    wide = max(len(finding.check) for finding in found)
    lines = []
    for check, status, what, remedy in found:
        lines.append(f"{status:7}  {check:{wide}}  {what}")
        if remedy:
            lines.append(f"{'':7}  {'':{wide}}  -> {remedy}")
    return "\n".join(lines)
