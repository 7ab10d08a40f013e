"""An update of the edge, seen from the board: what it fetches, when it starts anew, what it gives up."""

import os
from binascii import b2a_base64, hexlify
from hashlib import sha256

from edge.update import Update


class Slots:
    def __init__(self, folder, word=""):
        self.folder = folder
        self.word = word
        self.tried = []
        self.confirmed = 0

    def state(self):
        return self.word, "new" if self.word else ""

    def begin(self):
        return self.folder

    def try_next(self, name):
        self.tried.append(name)

    def confirm(self):
        self.confirmed += 1


class Edge:
    """Of edge.main.Edge what an update knows; also its agent and its link."""

    booted_ms = 0
    trial_ms = 1000

    def __init__(self):
        self.agent = self.link = self
        self.welcomed = True
        self.tasks = []
        self.posted = []

    def running(self):
        return self.tasks

    def post(self, kind, fields, qos):
        self.posted.append((kind, fields))

    def take(self, kind):
        found = [fields for what, fields in self.posted if what == kind]
        self.posted = [message for message in self.posted if message[0] != kind]
        return found


FILES = {"edge/main.mpy": b"main" * 20, "edge/link.mpy": b"link", "shared/__init__.mpy": b"shared"}


def sha(data):
    return hexlify(sha256(data).digest()).decode()


class Play:
    def __init__(self, folder, word=""):
        self.folder = str(folder)
        self.edge = Edge()
        self.slots = Slots(self.folder, word)
        self.restarts = []
        self.update = Update(self.edge, self.slots, lambda: self.restarts.append(1))

    def begin(self, files=FILES, package="new"):
        text = "\n".join(["%s %s" % (name, sha(files[name])) for name in sorted(files)])
        assert self.update.heard("update", {"package": package, "files": text})

    def chunk(self, data, offset=0, count=1000, of=None):
        part = data[offset : offset + count]
        fields = {"module": sha(of or data), "offset": offset, "total": len(data), "data": b2a_base64(part).decode()}
        return self.update.heard("chunk", fields)

    def send_all(self, files=FILES):
        for name in sorted(files):
            if self.edge.take("need"):
                self.chunk(files[name])

    def read(self, name):
        with open(self.folder + "/" + name, "rb") as file:
            return file.read()


def test_files_come_one_after_the_other_and_then_it_starts_anew(tmp_path):
    play = Play(tmp_path)
    play.begin()
    assert play.edge.take("need") == [{"module": sha(b"link"), "offset": 0}]
    play.chunk(b"link")
    assert play.edge.take("need") == [{"module": sha(FILES["edge/main.mpy"]), "offset": 0}]
    play.chunk(FILES["edge/main.mpy"], 0, 50)
    assert play.edge.take("need") == [{"module": sha(FILES["edge/main.mpy"]), "offset": 50}]
    play.chunk(FILES["edge/main.mpy"], 50)
    play.update.tick(1)
    assert (play.slots.tried, play.restarts) == ([], [])
    play.chunk(b"shared")
    assert play.slots.tried == ["new"]
    assert [play.read(name) for name in sorted(FILES)] == [FILES[name] for name in sorted(FILES)]
    assert [(said["state"], said["left"]) for said in play.edge.take("update")] == [
        ("fetching", 3),
        ("fetching", 2),
        ("fetching", 1),
        ("ready", 0),
    ]
    play.update.tick(2)
    assert play.restarts == [1]


def test_it_waits_for_tasks_and_takes_no_more(tmp_path):
    play = Play(tmp_path)
    assert not play.update.heard("start", {})
    play.edge.tasks = [["t", 1]]
    play.begin()
    assert not play.update.heard("start", {})
    play.send_all()
    play.update.tick(1)
    assert play.restarts == []
    assert play.update.heard("start", {})
    assert not play.update.heard("ack", {})
    play.edge.tasks = []
    play.update.tick(2)
    assert play.restarts == [1]


def test_what_is_there_already_is_not_fetched_and_what_is_none_of_it_goes(tmp_path):
    play = Play(tmp_path)
    os.mkdir(play.folder + "/edge")
    for name, data in (("edge/link.mpy", b"link"), ("edge/main.py", b"a source would be started first")):
        with open(play.folder + "/" + name, "wb") as file:
            file.write(data)
    play.begin()
    assert play.edge.take("need") == [{"module": sha(FILES["edge/main.mpy"]), "offset": 0}]
    assert os.listdir(play.folder + "/edge") == ["link.mpy"]


def test_a_file_that_arrives_with_another_sha256_is_the_end(tmp_path):
    play = Play(tmp_path)
    play.begin()
    play.chunk(b"xxxx", of=b"link")
    assert play.edge.take("update")[-1]["error"] == "edge/link.mpy arrived with another sha256"
    play.update.tick(10_000)
    assert (play.slots.tried, play.restarts) == ([], [])
    play.begin()  # and may be asked for again
    play.edge.take("need")
    play.chunk(b"link")
    assert len(play.edge.take("need")) == 1


def test_chunks_that_are_not_the_next_one_are_passed_over(tmp_path):
    play = Play(tmp_path)
    play.begin()
    assert play.chunk(b"link", 2)
    assert play.update.heard("chunk", {"module": sha(b"link"), "offset": 0, "total": 0, "data": ""})
    assert play.chunk(b"other") is False  # a module of a task
    assert play.update.lines[0].startswith("edge/link.mpy")
    assert play.edge.take("update")[-1]["state"] == "fetching"


def test_it_asks_again_and_gives_up_after_a_minute(tmp_path):
    play = Play(tmp_path)
    play.begin()
    play.edge.take("need")
    asked = 0
    for now in range(0, 10**12, 10**11):
        play.edge.welcomed = False
        play.update.tick(now + 1)
        assert play.edge.take("need") == []  # there is nobody to ask
        play.edge.welcomed = True
        play.update.tick(now + 10**10)
        asked += len(play.edge.take("need"))
    assert asked >= 10
    for _ in range(5):
        play.update.tick(10**13)
    assert "the hub did not send edge/link.mpy" in play.edge.take("update")[-1]["error"]


def test_the_same_update_once_more_changes_nothing(tmp_path):
    play = Play(tmp_path)
    play.begin()
    play.edge.take("need")
    play.chunk(b"link")
    play.edge.take("need")
    play.begin()
    assert play.edge.take("need") == []
    play.begin(dict(FILES, extra=b"x"), "newer")
    assert len(play.edge.take("need")) == 1


def test_on_trial_it_is_kept_by_the_word_of_the_hub(tmp_path):
    play = Play(tmp_path, "on_trial")
    play.update.tick(1000)
    assert play.restarts == []
    play.update.heard("keep", {})
    play.update.heard("keep", {})
    assert play.slots.confirmed == 1
    assert [said["state"] for said in play.edge.take("update")] == ["done"]
    play.update.tick(10_000)
    assert play.restarts == []


def test_on_trial_without_that_word_it_starts_anew(tmp_path):
    play = Play(tmp_path, "on_trial")
    play.begin()  # nothing else is begun
    assert play.edge.posted == []
    play.update.tick(1001)
    assert play.restarts == [1]
