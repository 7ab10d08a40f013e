"""The public core test suite, for whoever has it: MOTET_SPEC_SUITE names a folder of what wast2json made of it."""

import os
from pathlib import Path

import pytest

from tests.differential import spec

SUITE = os.environ.get("MOTET_SPEC_SUITE", "")


@pytest.mark.skipif(not SUITE, reason="MOTET_SPEC_SUITE names no folder that wast2json wrote")
def test_the_core_test_suite() -> None:
    report = spec.run(Path(SUITE))
    failures = "\n".join(report.failures)
    assert not report.asked["file"], failures
    assert report.share("assert_return") >= 0.995, failures
    assert report.share("assert_trap") == report.share("assert_exhaustion") == 1, failures
    assert report.share("assert_invalid") >= 0.99, failures
    assert report.share("assert_malformed") >= 0.99, failures
