"""Tests of edge/ and shared/ that run under both interpreters, CPython and MicroPython.

They are pytest's, within what tests/both/stand_in/pytest.py has of it for MicroPython: `parametrize`, `raises`, and
the fixtures `tmp_path` and `monkeypatch`. What needs more, hypothesis or a folder of Linux, is in tests/edge.
test_on_micropython.py runs the others there.
"""
