"""A backup is the hub as it was at one moment, whole or not there; what is restored is the same hub."""

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from hub.check.finding import OK
from hub.check.store import check_store
from hub.core.model import MODULES, TASKS, Policy, Put
from hub.store import atomic, disk, recovery
from hub.store.backup import DOCUMENTS, MANIFEST, back_up, restore
from hub.store.export import export
from hub.store.history import NAME
from hub.store.journal import Journal
from hub.store.moment import look as look_at_all
from hub.store.recovery import look
from motet import cli
from shared.errors import BadRequest, Conflict, Damaged, NotFound, Unavailable
from tests.api.stage import FILE, Stage


@pytest.fixture
async def data(tmp_path):
    """The folder of a hub that ran a task, and has ended."""
    async with Stage(tmp_path / "data") as stage:
        stage.join("a")
        for id in ("one", "two"):
            await stage.call("POST", "/tasks", {"id": id, "name": "main", "inputs": [1, 2], "file": FILE})
        await stage.call("POST", "/tasks/one/start")
        await stage.ended("one")
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "backup.zip"


def left_over(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


async def test_a_restored_hub_has_the_same_documents_and_modules_and_runs_tasks(data, file, tmp_path):
    summary = back_up(data, file)
    assert restore(file, tmp_path / "new") == summary
    assert look(tmp_path / "new" / "store") == look(data / "store")
    assert {finding.status for finding in check_store(tmp_path / "new")} == {OK}
    async with Stage(tmp_path / "new") as stage:
        stage.join("a")
        assert (await stage.call("GET", "/tasks/one")).json()["results"] == "3\n"
        await stage.call("POST", "/tasks/two/start")
        assert (await stage.ended("two"))["results"] == "3\n"


@pytest.fixture
async def past(tmp_path):
    """The folder of a hub that has something in its history."""
    async with Stage(tmp_path / "data", policy=Policy(keep_tasks=0)) as stage:
        stage.join("a")
        for id in ("one", "two"):
            await stage.call("POST", "/tasks", {"id": id, "name": "main", "inputs": [1, 2], "file": FILE})
            await stage.call("POST", f"/tasks/{id}/start")
            await stage.ended(id)
        await stage.call("POST", "/tasks", {"id": "new", "name": "main"})
        await stage.parts.archivist.calm()
        assert list(stage.runtime.engine.world.tasks) == ["new"]
    return tmp_path / "data"


@pytest.fixture
async def killed(tmp_path):
    """The folder of a hub that was killed while what it wrote last to its history was beside the file still."""
    async with Stage(tmp_path / "runs", policy=Policy(keep_tasks=0)) as stage:
        stage.join("a")
        await stage.call("POST", "/tasks", {"id": "one", "name": "main", "inputs": [1, 2], "file": FILE})
        await stage.call("POST", "/tasks/one/start")
        await stage.ended("one")
        await stage.parts.archivist.calm()
        shutil.copytree(tmp_path / "runs", tmp_path / "data")
    assert (tmp_path / "data" / "store" / f"{NAME}-wal").stat().st_size
    return tmp_path / "data"


async def test_the_history_is_in_a_backup_and_what_is_restored_reads_it(past, file, tmp_path):
    summary = back_up(past, file)
    assert summary.ended == 2
    assert not left_over(tmp_path)
    assert restore(file, tmp_path / "new") == summary
    assert {finding.status for finding in check_store(tmp_path / "new")} == {OK}
    async with Stage(tmp_path / "new") as stage:
        assert (await stage.call("GET", "/tasks/one")).json()["results"] == "3\n"
        assert (await stage.call("GET", "/tasks")).json()["total"] == 3


def test_a_backup_with_a_history_is_refused_by_a_motet_that_knows_none(past, file):
    back_up(past, file)
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read(MANIFEST))["format_number"] == 2


def test_a_history_that_was_changed_in_a_backup_is_refused(past, file, tmp_path):
    back_up(past, file)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(other, "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            out.writestr(name, data if name != NAME else data[:-1] + b"x")
    with pytest.raises(Damaged):
        restore(other, tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_running_hub_is_backed_up_as_it_was_at_one_moment(tmp_path, file):
    """Everything that was acknowledged before is in it, and nothing contradicts anything."""
    async with Stage(tmp_path / "data") as stage:
        stage.parts.journal._compact_min_bytes = 4096  # so that generations pass meanwhile
        stage.parts.journal._compact_ratio = 0.1
        stage.join("a")

        async def submit(number):
            await stage.call("POST", "/tasks", {"id": f"t{number}", "name": "main", "file": FILE})
            await stage.call("POST", f"/tasks/t{number}/start")

        for round in range(4):
            for number in range(15):
                await submit(round * 100 + number)
            acknowledged = set(stage.runtime.engine.world.tasks)
            saving = asyncio.create_task(asyncio.to_thread(back_up, tmp_path / "data", file))
            number = 50
            while not saving.done():
                await submit(round * 100 + (number := number + 1))
            assert not (await saving).missing
            restore(file, tmp_path / f"new-{round}")
            tables, _ = look(tmp_path / f"new-{round}" / "store")
            assert acknowledged <= tables[TASKS].keys()
            assert {finding.status for finding in check_store(tmp_path / f"new-{round}")} == {OK}
            file.unlink()
        assert stage.parts.journal._generation > 4


@pytest.mark.parametrize("kind", ["data", "past", "killed"])
def test_who_looks_changes_nothing_and_a_backup_is_for_its_owner_alone(kind, request, file, tmp_path):
    data = request.getfixturevalue(kind)

    def state():
        files = (path for path in data.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = state()
    back_up(data, file)
    export(data, tmp_path / "export.json")
    assert {finding.status for finding in check_store(data)} == {OK}
    assert state() == before
    assert file.stat().st_mode & 0o777 == 0o600


# The folder, as it is to a machine that may only read it: a snapshot, or a disk that was put into another one.
READ_ONLY = ["unshare", "-Urm", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"']


@pytest.mark.parametrize("kind", ["past", "killed"])
def test_a_folder_that_may_only_be_read_is_backed_up(kind, request, file, tmp_path):
    data = request.getfixturevalue(kind)
    if shutil.which("unshare") is None or subprocess.run([*READ_ONLY, str(data), "true"], check=False).returncode:
        pytest.skip("this kernel lets users mount nothing")
    command = [sys.executable, "-m", "motet", "backup", str(file), "--data", str(data), "--config", os.devnull]
    done = subprocess.run([*READ_ONLY, str(data), *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    restore(file, tmp_path / "new")
    with look_at_all(tmp_path / "new" / "store") as (_, _, history):
        assert history.known(["one"]) == {"one"}


@pytest.mark.parametrize("generations", [1, 3])
def test_a_look_that_meets_a_hub_turning_to_its_next_generation_looks_again(tmp_path, monkeypatch, generations):
    """It has listed files that the hub removes before it reads them; the first journal too, without which a store
    looks like a new one."""
    with_hub = Journal(tmp_path, compact_min_bytes=1, compact_ratio=0)
    for number in range(generations):
        stale = recovery.list_generations(tmp_path)
        with_hub.append([Put(TASKS, f"t{number}", {"id": f"t{number}"})])
        with_hub.flush()
        with_hub._compaction.join()
    assert not {path.name for path in tmp_path.iterdir()} & {f"{kind}-{at:08d}.jsonl" for kind, at in stale}
    listings = iter([stale])
    real = recovery.list_generations
    monkeypatch.setattr(recovery, "list_generations", lambda directory: next(listings, None) or real(directory))
    tables, lsn = look(tmp_path)
    assert (len(tables[TASKS]), lsn) == (generations, generations)
    with_hub.close()


async def test_a_module_that_is_missing_is_named_and_the_rest_is_saved(data, file, tmp_path):
    sha = next(iter(look(data / "store")[0][MODULES]))
    next((data / "blobs").rglob(sha)).unlink()
    summary = back_up(data, file)
    assert summary.missing == [sha] and summary.blobs == 1
    assert restore(file, tmp_path / "new").missing == [sha]


async def test_what_is_there_is_never_overwritten(data, file):
    file.write_text("precious")
    with pytest.raises(Conflict, match="exists"):
        back_up(data, file)
    assert file.read_text() == "precious"
    file.unlink()
    back_up(data, file)
    before = look(data / "store")
    with pytest.raises(Conflict, match="not empty"):
        restore(file, data)
    assert look(data / "store") == before


async def test_an_empty_folder_is_taken(data, file, tmp_path):
    back_up(data, file)
    (tmp_path / "new").mkdir()
    restore(file, tmp_path / "new")
    assert look(tmp_path / "new" / "store") == look(data / "store")


async def test_a_backup_that_was_changed_anywhere_or_cut_is_refused_or_restores_the_same(data, file, tmp_path):
    """No byte can be wrong unseen: what a flip does not touch, such as a time stamp of the zip, restores the same."""
    back_up(data, file)
    whole, wanted = file.read_bytes(), look(data / "store")
    refused = 0
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        broken = bytearray(whole)
        broken[at] ^= 0x10
        file.write_bytes(broken)
        target = tmp_path / f"flip-{at}"
        try:
            restore(file, target)
        except (Damaged, BadRequest):
            refused += 1
            assert not target.exists()
        else:
            assert look(target / "store") == wanted
            assert {finding.status for finding in check_store(target)} == {OK}
    assert refused > 50
    for at in range(0, len(whole), max(1, len(whole) // 20)):
        file.write_bytes(whole[:at])
        with pytest.raises(Damaged):
            restore(file, tmp_path / "cut")
        assert not (tmp_path / "cut").exists()
    assert left_over(tmp_path) == []


def rewritten(file, change):
    """The backup with another manifest."""
    with zipfile.ZipFile(file) as old:
        members = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    members[MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(file, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


async def test_a_newer_format_and_what_is_no_backup_are_refused(data, file, tmp_path):
    back_up(data, file)
    rewritten(file, lambda manifest: manifest.update(format_number=3, motet="9.0"))
    with pytest.raises(BadRequest, match=r"9\.0.*newer.*update"):
        restore(file, tmp_path / "new")
    rewritten(file, lambda manifest: manifest.update(format="something"))
    with pytest.raises(BadRequest, match="no backup"):
        restore(file, tmp_path / "new")
    with pytest.raises(NotFound):
        restore(tmp_path / "nothing", tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_document_that_was_exchanged_is_seen(data, file, tmp_path):
    back_up(data, file)
    rewritten(file, lambda manifest: manifest["sha256"].update({DOCUMENTS: "0" * 64}))
    with pytest.raises(Damaged, match="documents"):
        restore(file, tmp_path / "new")


async def test_a_full_disk_leaves_neither_half_a_file_nor_half_a_folder(data, file, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        with pytest.raises(Unavailable) as refused:
            back_up(data, file)
    assert refused.value.code == "disk_full" and not file.exists() and left_over(tmp_path) == []
    back_up(data, file)
    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "pwrite", full)
        with pytest.raises(Unavailable) as refused:
            restore(file, tmp_path / "new")
    assert refused.value.code == "disk_full" and not (tmp_path / "new").exists() and left_over(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "rename"])
async def test_a_kill_leaves_neither_half_a_file_nor_half_a_folder(data, file, tmp_path, call):
    def killed(command, folder):
        code = f"import os, sys; os.{call} = lambda *a: os.kill(os.getpid(), 9); from motet import cli; "
        code += "sys.exit(cli.main(sys.argv[1:]))"
        argv = [command, str(file), "--data", str(folder), "--config", os.devnull]
        return subprocess.run([sys.executable, "-c", code, *argv], check=False).returncode == -9

    assert killed("backup", data) and not file.exists()
    back_up(data, file)
    assert killed("restore", tmp_path / "new") and not (tmp_path / "new").exists()


async def test_the_commands_say_what_they_did(data, file, tmp_path, capsys):
    where = ["--config", os.devnull, "--data"]
    assert cli.main(["backup", str(file), *where, str(data)]) == 0
    assert "2 files of modules" in capsys.readouterr().out
    assert cli.main(["backup", str(file), *where, str(data)]) == 1
    assert "exists" in capsys.readouterr().err
    assert cli.main(["restore", str(file), *where, str(tmp_path / "new")]) == 0
    assert cli.main(["backup", str(tmp_path / "other"), *where, str(tmp_path / "nowhere")]) == 1
    assert "no store" in capsys.readouterr().err
