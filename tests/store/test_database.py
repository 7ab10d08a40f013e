"""TinyDB's API on the journal: what works as ever, what is durable, and what a caller cannot break."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tinydb import Query, TinyDB, where
from tinydb.operations import add, decrement, delete, increment, set, subtract
from tinydb.storages import MemoryStorage
from tinydb.table import Document

from hub.core.model import Put
from hub.store.database import Database
from hub.store.journal import Journal, StoreFailed


@pytest.fixture
def database(directory: Path) -> Iterator[Database]:
    database = Database(directory)
    yield database
    database.close()


def fill(database: TinyDB) -> None:
    table = database.table("tasks")
    for n, state in enumerate(["pending", "running", "failed", "running"]):
        table.insert(Document({"n": n, "state": state, "labels": ["a"] * n, "spec": {"fuel": n * 10}}, doc_id=str(n)))


def journalled(directory: Path) -> str:
    return "".join(path.read_text().rstrip("\0") for path in directory.glob("journal-*.jsonl"))


Task = Query()
QUERIES = {
    "equal": Task.state == "running",
    "nested": Task.spec.fuel > 10,
    "and, not": (Task.n >= 1) & ~(Task.state == "failed"),
    "or": (Task.n == 0) | (Task.state == "failed"),
    "any": Task.labels.any(["a"]),
    "matches": Task.state.matches("^[pf]"),
    "test": Task.n.test(lambda n: n % 2 == 0),
    "exists": Task.nothing.exists(),
    "fragment": Task.fragment({"n": 1, "state": "running"}),
    "noop": Task.noop(),
    "one of": where("n").one_of([0, 3]),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_queries_find_what_they_find_in_stock_tinydb(database: Database, query) -> None:
    stock = TinyDB(storage=MemoryStorage)
    stock.table_class.document_id_class = int
    fill(database)
    fill(stock)
    ours, theirs = database.table("tasks"), stock.table("tasks")
    assert ours.search(query) == theirs.search(query)
    assert ours.count(query) == theirs.count(query)
    assert ours.get(query) == theirs.get(query)
    assert ours.contains(query) == theirs.contains(query)
    assert ours.update({"hit": True}, query) == list(map(str, theirs.update({"hit": True}, query)))
    assert ours.all() == theirs.all()
    assert ours.remove(query) == list(map(str, theirs.remove(query)))
    assert ours.all() == theirs.all()


def test_documents_have_string_ids(database: Database) -> None:
    table = database.table("tasks")
    assert table.insert(Document({"n": 1}, doc_id="t1")) == "t1"
    made = table.insert({"n": 2})
    assert isinstance(made, str) and table.get(doc_id=made) == {"n": 2}
    assert table.get(doc_id="t1").doc_id == "t1"
    assert [document.doc_id for document in table] == ["t1", made]
    assert table.get(doc_ids=[made, "t1", "unknown"]) == [{"n": 1}, {"n": 2}]
    assert table.get(doc_id="unknown") is None and "t1" in [d.doc_id for d in table.search(where("n") == 1)]
    assert len(table) == 2 and table.contains(doc_id="t1")
    with pytest.raises(ValueError, match="already exists"):
        table.insert(Document({}, doc_id="t1"))
    with pytest.raises(RuntimeError):
        table.get()


def test_the_whole_api_of_a_table(database: Database) -> None:
    table = database.table("tasks")
    assert len(table.insert_multiple([{"n": n} for n in range(3)])) == 3
    assert table.upsert({"n": 0, "new": True}, where("n") == 0) == [table.get(where("n") == 0).doc_id]
    assert table.upsert(Document({"n": 9}, doc_id="nine")) == ["nine"]
    assert table.upsert(Document({"m": 9}, doc_id="nine")) == ["nine"]
    assert table.get(doc_id="nine") == {"n": 9, "m": 9}
    assert len(table.update({"all": 1})) == 4
    assert len(table.update_multiple([({"low": True}, where("n") < 2), ({"high": True}, where("n") > 2)])) == 3
    assert table.update({"x": 1}, doc_ids=["nine", "unknown"]) == ["nine"]
    assert table.remove(doc_ids=["nine", "unknown"]) == ["nine"]
    assert [document["n"] for document in table] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="truncate"):
        table.remove()
    table.truncate()
    assert len(table) == 0 and table.all() == []


def test_operations_change_documents(database: Database) -> None:
    table = database.table("tasks")
    table.insert(Document({"n": 1, "list": [1], "gone": 0}, doc_id="a"))
    for operation in (add("n", 10), subtract("n", 1), increment("n"), decrement("n"), set("m", {"x": 1})):
        table.update(operation, doc_ids=["a"])
    table.update(delete("gone"), where("n") == 10)
    table.update(lambda document: document["list"].append(2))
    assert table.all() == [{"n": 10, "list": [1, 2], "m": {"x": 1}}]


def test_the_database_itself_is_its_default_table(database: Database) -> None:
    database.insert({"n": 1})
    assert len(database) == 1 and next(iter(database)) == {"n": 1}
    assert database.search(where("n") == 1) == database.table("_default").all()


def test_tables_exist_as_long_as_they_have_documents(database: Database) -> None:
    for name in ("a", "b", "c"):
        database.table(name).insert(Document({}, doc_id="1"))
    assert database.tables() == {"a", "b", "c"}
    database.drop_table("a")
    database.drop_table("unknown")
    assert database.tables() == {"b", "c"} and database.table("a").all() == []
    database.table("b").truncate()
    assert database.tables() == {"c"}
    database.drop_tables()
    assert not database.tables()


def test_everything_is_there_after_reopening(directory: Path) -> None:
    with Database(directory) as database:
        fill(database)
        database.table("tasks").update(delete("spec"), where("n") == 1)
        database.table("tasks").remove(where("n") == 0)
        database.table("other").insert({})
        database.drop_table("other")
        expected = database.table("tasks").all()
    with Database(directory) as database:
        assert database.table("tasks").all() == expected
        assert database.tables() == {"tasks"}


def test_a_write_is_durable_when_it_returns(database: Database, crashed) -> None:
    database.table("tasks").insert(Document({"n": 1}, doc_id="a"))
    with Database(crashed(database.storage.journal)) as after_crash:
        assert after_crash.table("tasks").all() == [{"n": 1}]


def test_a_write_that_cannot_be_made_durable_raises(database: Database, disk) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    disk.fdatasync = fail
    with pytest.raises(StoreFailed):
        database.table("tasks").insert({})


def test_without_flush_writes_the_caller_flushes(directory: Path) -> None:
    journal = Journal(directory)
    Database.over(journal, flush_writes=False).insert({})
    assert (journal.lsn, journal.durable) == (1, 0)
    assert journal.flush() == 1
    journal.close()


def test_an_update_writes_the_changed_fields_only(database: Database, directory: Path) -> None:
    table = database.table("tasks")
    table.insert(Document({"state": "pending", "spec": {"text": "unchanged"}, "n": 1}, doc_id="a"))
    lsn = database.storage.journal.lsn
    table.update({"state": "running", "n": 1}, where("n") == 1)
    assert journalled(directory).count("unchanged") == 1
    assert journalled(directory).endswith('[["tasks","a","patch",{"state":"running"}]]]\n')
    assert database.storage.journal.lsn == lsn + 1


def test_an_update_that_changes_nothing_writes_nothing(database: Database) -> None:
    fill(database)
    lsn = database.storage.journal.lsn
    assert len(database.table("tasks").update({"state": "running"}, where("state") == "running")) == 2
    database.table("tasks").remove(where("n") == 99)
    database.drop_table("unknown")
    assert database.storage.journal.lsn == lsn


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True]), (0.0, -0.0)])
def test_values_that_only_python_thinks_equal_are_changes(directory: Path, old: object, new: object) -> None:
    with Database(directory) as database:
        database.insert(Document({"x": old}, doc_id="a"))
        database.update({"x": new})
    with Database(directory) as database:
        assert repr(database.get(doc_id="a")["x"]) == repr(new)


def test_many_documents_in_one_call_are_one_change(database: Database) -> None:
    database.insert_multiple([{"n": n} for n in range(100)])
    database.update({"m": 1})
    database.truncate()
    assert database.storage.journal.lsn == 3


def test_a_failing_update_changes_nothing(database: Database) -> None:
    fill(database)
    before = database.table("tasks").all()

    def fails_at_the_third(document: dict) -> None:
        document["labels"].append("half")
        if document["n"] == 2:
            raise LookupError

    with pytest.raises(LookupError):
        database.table("tasks").update(fails_at_the_third)
    with pytest.raises(TypeError):
        database.table("tasks").update({"n": object()}, where("n") == 1)
    with pytest.raises(ValueError, match="not a Mapping"):
        database.table("tasks").insert_multiple([{}, 5])
    assert database.table("tasks").all() == before


def test_what_a_caller_got_or_gave_is_a_copy(database: Database) -> None:
    given = {"list": [1], "deep": {"x": {"y": 1}}}
    table = database.table("t")
    table.insert(Document(given, doc_id="a"))
    expected = {"list": [1], "deep": {"x": {"y": 1}}}
    got = [
        given,
        table.get(doc_id="a"),
        table.get(where("list") == [1]),
        table.get(doc_ids=["a"])[0],
        table.all()[0],
        next(iter(table)),
        table.search(where("list") == [1])[0],
    ]
    fields = {"more": [1]}
    table.update(fields)
    fields["more"].append(2)
    for document in got:
        document["list"].append(2)
        document["deep"]["x"]["y"] = 2
    assert table.all() == [{**expected, "more": [1]}]


def test_documents_are_what_they_will_be_after_reopening(directory: Path) -> None:
    with Database(directory) as database:
        database.insert(Document({"tuple": (1, 2), "key": {1: 2}, "nan": float("nan")}, doc_id="a"))
        now = database.all()
    with Database(directory) as database:
        assert database.all() == now == [{"tuple": [1, 2], "key": {"1": 2}, "nan": None}]


def test_reads_see_what_others_appended_to_the_journal(directory: Path) -> None:
    journal = Journal(directory)
    with Database.over(journal) as database:
        table, running = database.table("tasks", cache_size=30), where("state") == "running"
        assert table.search(running) == []
        journal.append([Put("tasks", "a", {"state": "running"})])
        assert table.search(running) == [{"state": "running"}] and table.count(running) == 1
        journal.append([Put("tasks", "a", {"state": "done"}, {"state": "done"})])
        assert table.search(running) == []
        journal.append([Put("tasks", "a", None)])
        assert table.all() == [] and not database.tables()
    # Closing a view leaves the journal to its owner.
    journal.append([Put("tasks", "b", {})])
    journal.close()


def test_reading_while_others_append(directory: Path) -> None:
    journal = Journal(directory)
    table = Database.over(journal).table("t")

    def append() -> None:
        for n in range(2000):
            journal.append([Put("t", str(n), {"n": n}), Put(f"table-{n}", "x", {}), Put("t", str(n - 50), None)])

    with ThreadPoolExecutor() as pool:
        appending = pool.submit(append)
        while not appending.done():
            documents = table.all()
            assert [document["n"] for document in documents] == sorted(document["n"] for document in documents)
            assert len(table.search(where("n") >= 0)) <= 51
            table.storage.read()
        appending.result()
    journal.close()


def test_stock_tinydb_code_can_iterate_and_write_at_once(database: Database) -> None:
    fill(database)
    for document in database.table("tasks"):
        database.table("tasks").update({"seen": True}, doc_ids=[document.doc_id])
        database.table("tasks").insert({"n": 100 + document["n"]})
    assert len(database.table("tasks")) == 8
