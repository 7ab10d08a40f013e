"""One file with all that a hub keeps for good: its documents at one moment, and the modules that they refer to.

The file is a zip. `documents.jsonl` is a snapshot in the store's own form, `history.sqlite` the history of ended runs
where there is one, as of the same moment, `blobs/<sha256>` a module, and the last member, `manifest.json`, has the
format, the number of the last change and the SHA-256 of every other member: a file without it was not finished.
Everything is read from the folder, so that no hub need run, one that runs need not stop, and one that is read-only can
still be saved. A running one can be read because a record of its journal is one change, a module is on the disk before
a document refers to it, and its bytes never change.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hub.core.model import MODULES
from hub.store import blobs
from hub.store.atomic import whole_file
from hub.store.blobs import Blobs
from hub.store.disk import FILE_MODE, make_directory, sync_directory, write_failure
from hub.store.history import NAME
from hub.store.moment import look
from hub.store.records import Tables, lines
from hub.store.snapshot import begin_journal, snapshot_lines, write_snapshot
from shared import VERSION
from shared.errors import BadRequest, Conflict, Damaged, NotFound

log = logging.getLogger(__name__)

FORMAT = "motet-backup"
# 2 has a history, which motet before it would leave out without a word.
FORMAT_NUMBER = 2
MANIFEST = "manifest.json"
DOCUMENTS = "documents.jsonl"
# A module may be deleted between the reading of the documents and its own: then the documents are read again.
TRIES = 3
PIECE_BYTES = 1 << 20


@dataclass
class Summary:
    """What a backup holds. ended: tasks of the history. missing: modules that documents refer to and whose bytes were
    not there or damaged."""

    documents: int
    blobs: int
    lsn: int
    created_at: str
    ended: int = 0
    missing: list[str] = field(default_factory=list)


def forms_of(tables: Tables) -> list[str]:
    """The blobs that the documents refer to, each once: modules as uploaded and as prepared."""
    forms = (sha for doc in tables.get(MODULES, {}).values() for sha in (doc["id"], doc.get("prepared")))
    return list(dict.fromkeys(sha for sha in forms if sha))


def back_up(data: Path, file: Path) -> Summary:
    """Writes a backup of a hub's folder, which may be in use. The errors are those of whole_file() and look()."""
    with whole_file(file) as out, tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as room:
        copy = Path(room) / NAME
        for _ in range(TRIES):
            tables, lsn, ended = _at_one_moment(data / "store", copy)
            missing = _missing(data, tables)
            if not missing:
                break
        present = [sha for sha in forms_of(tables) if sha not in missing]
        created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        summary = Summary(sum(map(len, tables.values())), len(present), lsn, created, ended, missing)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            members = {DOCUMENTS: _write(archive, DOCUMENTS, snapshot_lines(lsn, tables))}
            if copy.exists():
                members[NAME] = _write(archive, NAME, _pieces(copy))
            for sha in present:
                # One that is deleted in this very moment ends the backup: there is none that lacks it unsaid.
                members[_member(sha)] = _write(archive, _member(sha), [blobs.look(data / "blobs", sha)])
            archive.writestr(MANIFEST, json.dumps(_manifest(summary, members)))
    return summary


def _at_one_moment(store: Path, copy: Path) -> tuple[Tables, int, int]:
    """The documents, the number of the last change, and how many tasks are in the history, of which a copy is made."""
    copy.unlink(missing_ok=True)
    with look(store) as (tables, lsn, history):
        if history is None:
            return tables, lsn, 0
        history.copy_to(copy)
        return tables, lsn, history.tasks


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _missing(data: Path, tables: Tables) -> list[str]:
    missing = []
    for sha in forms_of(tables):
        try:
            blobs.look(data / "blobs", sha)
        except (NotFound, Damaged) as error:
            log.info("%s", error.message)
            missing.append(sha)
    return missing


def _member(sha: str) -> str:
    return f"blobs/{sha}"


def _write(archive: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> str:
    """Writes a member; its SHA-256."""
    digest = hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as out:
        for piece in pieces:
            digest.update(piece)
            out.write(piece)
    return digest.hexdigest()


def _manifest(summary: Summary, members: dict[str, str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_number": FORMAT_NUMBER if NAME in members else 1,
        "motet": VERSION,
        "created_at": summary.created_at,
        "lsn": summary.lsn,
        "documents": summary.documents,
        "ended": summary.ended,
        "missing": summary.missing,
        "sha256": members,
    }


def restore(file: Path, data: Path) -> Summary:
    """Makes a hub's folder out of a backup.

    The folder must be new or empty (Conflict, `not_empty`); the file whole (Damaged, `backup_damaged`), a backup
    (BadRequest, `no_backup`) and of no newer format (BadRequest, `newer_backup`). The folder appears under its name
    when everything in it is on the disk: nothing half done is ever taken for it.
    """
    data = data.absolute()
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise Conflict(f"{data} is not empty: restore into a new folder, then start the hub with --data", "not_empty")
    with _opened(file) as archive:
        manifest = _read_manifest(file, archive)
        try:
            make_directory(data.parent)
            building = Path(tempfile.mkdtemp(dir=data.parent, prefix=f".{data.name}.", suffix=".tmp"))
            try:
                _build(file, archive, manifest, building)
                sync_directory(building)
                building.rename(data)
                sync_directory(data.parent)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        except OSError as error:
            raise write_failure(error, str(data), "try again") from error
    count = sum(name.startswith("blobs/") for name in manifest["sha256"])
    return Summary(
        manifest["documents"],
        count,
        manifest["lsn"],
        manifest["created_at"],
        manifest.get("ended", 0),
        manifest["missing"],
    )


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", "no_file") from None
    except OSError as error:
        raise Damaged(f"{file} cannot be read ({error.strerror}): use another backup", "backup_damaged") from error
    except zipfile.BadZipFile:
        raise Damaged(f"{file} is no backup, or not a whole one: use another", "backup_damaged") from None


def _read_manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        manifest = json.loads(_content(file, archive, MANIFEST))
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadRequest(f"{file} is no backup of a hub: motet backup makes one", "no_backup")
    if manifest["format_number"] > FORMAT_NUMBER:
        raise BadRequest(
            f"{file} was made by motet {manifest['motet']}, which is newer than this {VERSION}: update motet first",
            "newer_backup",
        )
    return manifest


def _content(file: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    with _reading(file, name):
        return archive.read(name)


@contextlib.contextmanager
def _reading(file: Path, name: str) -> Iterator[None]:
    """What can go wrong with a member, in our words."""
    try:
        yield
        return
    except KeyError:
        what = f"{file} is no backup of a hub, or has lost its {name}"
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        what = f"{file} is damaged in {name} ({error})"
    except Exception as error:  # zlib.error, and what else a changed header leads to
        what = f"{file} is damaged in {name} ({type(error).__name__})"
    raise Damaged(f"{what}: use another backup", "backup_damaged")


def _build(file: Path, archive: zipfile.ZipFile, manifest: dict[str, Any], folder: Path) -> None:
    """The folder of a hub that has just begun its first generation with the documents of the backup."""
    contents = _contents(file, archive, manifest)
    name, data = next(contents)
    assert name == DOCUMENTS
    tables = _tables(file, data, manifest["documents"])
    store = folder / "store"
    make_directory(store)
    begin_journal(store, 1, manifest["lsn"]).close()
    write_snapshot(store, 1, manifest["lsn"], tables, lambda: None)
    if NAME in manifest["sha256"]:
        _unpack(file, archive, NAME, manifest["sha256"][NAME], store / NAME)
    kept = Blobs(folder / "blobs")
    for _, data in contents:
        kept.put(data)


def _unpack(file: Path, archive: zipfile.ZipFile, name: str, digest: str, path: Path) -> None:
    """A member too large for memory as a file of its own."""
    found = hashlib.sha256()
    with _reading(file, name), archive.open(name) as member, path.open("xb") as out:
        path.chmod(FILE_MODE)
        while piece := member.read(PIECE_BYTES):
            found.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if found.hexdigest() != digest:
        raise Damaged(f"{file} is damaged in {name}: use another backup", "backup_damaged")


def _contents(file: Path, archive: zipfile.ZipFile, manifest: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Every member as the manifest has it but for the history, the documents first."""
    members = {name: digest for name, digest in manifest["sha256"].items() if name != NAME}
    for name, digest in sorted(members.items(), key=lambda item: item[0] != DOCUMENTS):
        data = _content(file, archive, name)
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged(f"{file} is damaged in {name}: use another backup", "backup_damaged")
        yield name, data


def _tables(file: Path, data: bytes, count: int) -> Tables:
    tables: Tables = {}
    end = 0
    for _, value, following in lines(data):
        end = following
        if isinstance(value, list):
            table, id, document = value
            tables.setdefault(table, {})[id] = document
    if end != len(data) or sum(map(len, tables.values())) != count:
        raise Damaged(f"{file} is damaged in {DOCUMENTS}: use another backup", "backup_damaged")
    return tables
