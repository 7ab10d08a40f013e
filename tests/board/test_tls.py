"""A board checks the hub's certificate, against one of its own in DER."""

from pathlib import Path

import pytest

from tests.board.machine import machines, needs_micropython
from tests.certificates import make

pytestmark = needs_micropython


def test_a_task_over_tls(tmp_path: Path, lib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, other = make(tmp_path / "known"), make(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", known.ca)
    with machines(tmp_path, lib, *known.hub) as made:
        made.start("board", host="localhost", ca=known.ca_der)
        assert made.world.run("t", "main", "addition", [10, 20])["results"] == "30\n"
        stranger = made.launch("stranger", host="localhost", ca=other.ca_der)
        stranger.line(r"lost localhost.*not correctly signed")
        assert "edge stranger connected" not in stranger.text
        assert [one["id"] for one in made.world.call("GET", "/proplets")["proplets"]] == ["board"]
