"""`motet check` says what is wrong and what to do, exits 1 at a failure, and changes nothing."""

import asyncio
import json
import os
import resource
import socket
import sqlite3
import time
from collections import namedtuple
from importlib import metadata
from zoneinfo import ZoneInfoNotFoundError

import pytest

from hub.check import machine
from hub.check.finding import FAILURE, OK, WARNING
from hub.check.store import check_store
from hub.core.model import TASKS, Policy, Put
from hub.store.history import NAME
from hub.store.journal import Journal
from motet import cli
from tests.api.stage import FILE, Stage


@pytest.fixture
async def kept(tmp_path):
    """The data folder of a hub that ran two tasks, and has ended."""
    async with Stage(tmp_path / "data") as stage:
        stage.join("a")
        for id in ("one", "two"):
            await stage.call("POST", "/tasks", {"id": id, "name": "main", "inputs": [1], "file": FILE})
        await stage.call("POST", "/tasks/one/start")
        await stage.ended("one")
    return tmp_path / "data"


def by_check(findings):
    return {finding.check: finding for finding in findings}


def snapshot(folder):
    """Every file with its content and times."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()
    }


async def test_a_sound_store_is_found_sound_and_left_as_it_was(kept):
    before = snapshot(kept)
    found = by_check(check_store(kept))
    assert {finding.status for finding in found.values()} == {OK}
    assert "2 tasks" in found["documents"].found and "1 modules" in found["modules"].found
    assert snapshot(kept) == before


async def test_a_store_is_looked_at_while_a_hub_writes_to_it(tmp_path):
    async with Stage(tmp_path) as stage:
        stage.join("a")
        looking = [asyncio.create_task(asyncio.to_thread(lambda: list(check_store(tmp_path)))) for _ in range(4)]
        for number in range(40):
            await stage.call("POST", "/tasks", {"id": f"t{number}", "name": "main", "file": FILE})
            await stage.call("POST", f"/tasks/t{number}/start")
        for findings in await asyncio.gather(*looking):
            assert {finding.status for finding in findings} == {OK}, findings


async def test_no_store_is_no_failure(tmp_path):
    [finding] = check_store(tmp_path / "nowhere")
    assert finding.status == OK and not (tmp_path / "nowhere").exists()


async def test_a_damaged_journal_is_named_with_a_remedy_and_not_repaired(kept):
    journal = next((kept / "store").glob("journal-*"))
    data = bytearray(journal.read_bytes())
    data[len(data.rstrip(b"\0")) // 2] ^= 1
    journal.write_bytes(data)
    [finding] = check_store(kept)
    assert finding.status == FAILURE and journal.name in finding.found and "--recover" in finding.remedy
    assert journal.read_bytes() == data


async def test_a_torn_tail_is_no_failure_and_stays(kept):
    journal = next((kept / "store").glob("journal-*"))
    journal.write_bytes(journal.read_bytes().rstrip(b"\0") + b"0123abcd 000000")
    before = snapshot(kept)
    assert by_check(check_store(kept))["store"].status == OK
    assert snapshot(kept) == before


@pytest.mark.parametrize(
    ("break_it", "says"), [(os.unlink, "missing"), (lambda path: path.write_bytes(b"x"), "damaged")]
)
async def test_a_module_whose_bytes_are_gone_or_changed_is_named(kept, break_it, says):
    broken = next((kept / "blobs" / "sha256").glob("*/*"))
    break_it(broken)
    finding = by_check(check_store(kept))["modules"]
    assert finding.status == FAILURE and broken.name in finding.found and says in finding.found


async def test_documents_that_contradict_each_other_are_named(kept):
    journal = Journal(kept / "store")
    journal.append([Put(TASKS, "two", {**journal.tables[TASKS]["two"], "module": "0" * 64})])
    journal.close()
    finding = by_check(check_store(kept))["documents"]
    assert finding.status == FAILURE and "task two" in finding.found and finding.remedy


async def test_documents_that_cannot_be_taken_up_are_a_failure(kept):
    journal = Journal(kept / "store")
    journal.append([Put(TASKS, "two", {**journal.tables[TASKS]["two"], "depends_on": ["nobody"]})])
    journal.close()
    assert by_check(check_store(kept))["documents"].status == FAILURE


async def test_a_clock_behind_the_documents_is_a_warning(kept):
    journal = Journal(kept / "store")
    doc = journal.tables[TASKS]["two"]
    journal.append([Put(TASKS, "two", {**doc, "updated_at": time.time() + 86400})])
    journal.close()
    assert by_check(check_store(kept))["times"].status == WARNING


def test_a_clock_of_another_century_is_a_failure(monkeypatch):
    monkeypatch.setattr(machine.time, "gmtime", lambda: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0)))
    [finding] = machine.check_clock()
    assert finding.status == FAILURE and "1970" in finding.found and finding.remedy


def test_a_clock_that_is_being_set_is_a_warning_and_missing_time_zones_a_failure(monkeypatch):
    walls = iter([1_800_000_000.0, 1_800_003_600.0])
    monkeypatch.setattr(machine.time, "time", lambda: next(walls))

    def no_zone(name):
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr(machine, "ZoneInfo", no_zone)
    clock, zones = machine.check_clock()
    assert (clock.status, zones.status) == (WARNING, FAILURE)
    assert "tzdata" in zones.remedy


def test_little_space_and_a_slow_disk_are_said(monkeypatch, tmp_path):
    usage = namedtuple("usage", "free")
    for free, status in ((1 << 20, FAILURE), (100 << 20, WARNING), (1 << 40, OK)):
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda place, free=free: usage(free))
        assert by_check(machine.check_disk(tmp_path))["space"].status == status
    monkeypatch.setattr(machine, "_syncs", lambda place: [0.2] * 20)
    assert by_check(machine.check_disk(tmp_path))["writing"].status == WARNING
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_failure(monkeypatch, tmp_path):
    def refuse(place):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine, "_syncs", refuse)
    finding = by_check(machine.check_disk(tmp_path))["writing"]
    assert finding.status == FAILURE and "Permission denied" in finding.found


def test_another_version_of_what_is_pinned_is_a_failure(monkeypatch):
    real = metadata.version
    monkeypatch.setattr(machine.metadata, "version", lambda name: "9.9" if name == "amqtt" else real(name))
    finding = by_check(machine.check_versions())["libraries of hub"]
    assert finding.status == FAILURE and "amqtt is 9.9 and must be 0.12.1" in finding.found


def test_few_open_files_are_a_warning(monkeypatch):
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (256, 1024))
    [finding] = machine.check_limits()
    assert finding.status == WARNING and "1024" in finding.found
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (256, resource.RLIM_INFINITY))
    assert next(iter(machine.check_limits())).status == OK


def test_a_port_that_another_program_has_is_a_failure_and_a_free_one_is_not():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        found = by_check(machine.check_ports("127.0.0.1", 0, number))
        assert found["MQTT port"].status == FAILURE and "--mqtt-port" in found["MQTT port"].remedy
    assert by_check(machine.check_ports("127.0.0.1", number, 0))["HTTP port"].status == OK


def test_the_command_exits_1_at_a_failure_and_prints_json(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        argv = ["check", "--config", os.devnull, "--data", str(tmp_path), "--port", "0"]
        assert cli.main([*argv, "--mqtt-port", number, "--json"]) == 1
        report = json.loads(capsys.readouterr().out)
        assert report["status"] == FAILURE
        [failed] = [one for one in report["findings"] if one["status"] == FAILURE]
        assert failed["check"] == "MQTT port" and failed["remedy"]
        assert cli.main([*argv, "--mqtt-port", "0"]) == 0
        assert "MQTT port" not in capsys.readouterr().out


# --- the history


async def past(folder):
    async with Stage(folder, policy=Policy(keep_tasks=0)) as stage:
        stage.join("a")
        for id in ("one", "two"):
            await stage.call("POST", "/tasks", {"id": id, "name": "main", "inputs": [1], "file": FILE})
            await stage.call("POST", f"/tasks/{id}/start")
            await stage.ended(id)
        await stage.parts.archivist.calm()
    return folder / "store" / NAME


async def test_the_history_is_counted(tmp_path):
    await past(tmp_path)
    found = by_check(check_store(tmp_path))["history"]
    assert (found.status, found.found.partition(" that")[0]) == (OK, "2 tasks, 0 workflows, 0 jobs")


async def test_a_unit_of_the_history_that_cannot_be_taken_up_is_named(tmp_path):
    with sqlite3.connect(await past(tmp_path)) as db:
        db.execute("""UPDATE docs SET doc = replace(doc, '"id":"one"', '"di":"one"')""")
    db.close()
    found = by_check(check_store(tmp_path))["history"]
    assert found.status == FAILURE and "unit" in found.found and found.remedy


async def test_a_history_that_is_no_database_is_a_failure_with_its_remedy(tmp_path):
    (await past(tmp_path)).write_bytes(b"no database " * 1000)
    found = by_check(check_store(tmp_path))["history"]
    assert found.status == FAILURE and "--recover" in found.remedy
