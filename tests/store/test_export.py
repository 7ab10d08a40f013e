"""What is exported, a stock TinyDB opens and queries."""

import pytest
from tinydb import TinyDB, where

from hub.core.model import META, TASKS, WORKFLOWS, Policy
from hub.store.export import export
from hub.store.journal import Journal
from hub.store.recovery import look
from shared.errors import Conflict
from tests.api.stage import FILE, Stage


async def test_a_stock_tinydb_opens_what_a_running_hub_exports(tmp_path):
    file = tmp_path / "hub.json"
    async with Stage(tmp_path / "data") as stage:
        stage.join("a")
        for id in ("one", "two", "ü"):
            await stage.call("POST", "/tasks", {"name": "main", "inputs": [1, 2], "file": FILE, "metadata": {"x": id}})
        await stage.call("POST", "/tasks", {"id": "four", "name": "main", "inputs": [3, 4], "file": FILE})
        await stage.call("POST", "/tasks/four/start")
        await stage.ended("four")
        count, lsn = export(tmp_path / "data", file)
        tables, durable = look(tmp_path / "data" / "store")
    with TinyDB(file, access_mode="r") as database:
        assert database.tables() == {name for name, documents in tables.items() if documents}
        for name in database.tables():
            assert [dict(one) for one in database.table(name)] == [
                {"id": id, **document} for id, document in tables[name].items()
            ]
        tasks = database.table(TASKS)
        assert [one["results"] for one in tasks.search(where("id") == "four")] == ["7\n"]
        assert tasks.get(doc_id=1)["metadata"] == {"x": "one"}
        assert database.table(META).all()[0]["id"] == "hub"
        assert count == sum(len(database.table(name)) for name in database.tables())
    assert lsn == durable


async def test_it_can_be_changed_by_tinydb_like_any_other(tmp_path):
    async with Stage(tmp_path / "data") as stage:
        await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    export(tmp_path / "data", tmp_path / "hub.json")
    with TinyDB(tmp_path / "hub.json") as database:
        assert database.table(TASKS).insert({"id": "u"}) == 2
        database.table(TASKS).update({"name": "other"}, where("id") == "t")
        assert len(database.table(TASKS).search(where("name") == "other")) == 1
    with pytest.raises(Conflict):
        export(tmp_path / "data", tmp_path / "hub.json")


async def test_an_empty_store_is_an_empty_database(tmp_path):
    Journal(tmp_path / "data" / "store").close()
    assert export(tmp_path / "data", tmp_path / "hub.json") == (0, 0)
    with TinyDB(tmp_path / "hub.json") as database:
        assert database.tables() == set()


async def test_what_is_in_the_history_is_exported_as_well_and_comes_first(tmp_path):
    async with Stage(tmp_path / "data", policy=Policy(keep_tasks=0)) as stage:
        stage.join("a")
        await stage.call("POST", "/tasks", {"id": "new", "name": "main"})
        body = {"workflow_id": "wf", "name": "w", "tasks": [{"id": "t", "name": "main", "inputs": [1], "file": FILE}]}
        await stage.call("POST", "/workflows", body)
        await stage.call("POST", "/workflows/wf/start")
        await stage.ended("t")
        await stage.parts.archivist.calm()
        count, _ = export(tmp_path / "data", tmp_path / "hub.json")
    with TinyDB(tmp_path / "hub.json", access_mode="r") as database:
        assert [one["id"] for one in database.table(TASKS)] == ["t", "new"]
        assert [one["id"] for one in database.table(WORKFLOWS)] == ["wf"]
        assert count == sum(len(database.table(name)) for name in database.tables())
