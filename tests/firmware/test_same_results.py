"""A board with our wasm3 and the worker of a Linux device: the same results of the same tasks."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from tests.firmware import device
from tests.firmware.cases import cases
from tests.firmware.conftest import Run


def write_cases(folder: Path) -> list[dict[str, Any]]:
    found = cases()
    files: dict[bytes, str] = {}
    for case in found:
        inputs = case["start"]["inputs"]
        if isinstance(inputs, list):
            case["start"]["inputs"] = [{"float": device.exactly(v)} if isinstance(v, float) else v for v in inputs]
        case["module"] = files.setdefault(case["data"], f"{len(files)}.wasm")
        (folder / case["module"]).write_bytes(case.pop("data"))
    (folder / "cases.json").write_text(json.dumps(found))
    return found


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what may differ: durations, and the fuel of what time or the size of the native stack has ended."""
    result = answer["result"]
    result.pop("duration_ms", None)
    error = result.get("error")
    if error:
        # A board's wasm3 is built without the details in brackets; MicroPython writes OSError('x',).
        error["message"] = error["message"].partition(" (")[0].replace(",)", ")")
        if error["code"] in ("timeout", "cancelled", "trap_stack"):
            result.pop("fuel", None)
    answer["numbers"] = [*map(number, result.pop("outputs", [])), *map(number, result.pop("text", "").splitlines())]
    return answer


def number(value: Any) -> Any:
    """MicroPython before 1.27 writes floats with an error in the 16th digit."""
    try:
        value = float(value) if not isinstance(value, int) else value
    except ValueError:
        return value
    if not isinstance(value, float) or math.isnan(value):
        return str(value)
    return pytest.approx(max(min(value, 1.797693134862315e308), -1.797693134862315e308), rel=3e-15, abs=1e-320)


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("cases")
    found = write_cases(folder)
    load = Library(wasm3_file()).load
    return folder, found, [json.loads(json.dumps(device.run(load, case, str(folder)))) for case in found]


def test_a_board_and_a_linux_device_answer_alike(
    micropython: Run, expected: tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    folder, found, linux = expected
    printed = micropython("device.py", folder, heap="2m").splitlines()
    assert len(printed) == len(found) >= 300
    for case, wanted, line in zip(found, linux, printed, strict=True):
        assert plain(json.loads(line)) == plain(json.loads(json.dumps(wanted))), case["what"]


def test_the_list_has_every_way_to_end(expected: tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    codes = {answer["result"].get("error", {}).get("code", "ok") for answer in expected[2]}
    assert codes >= {"ok", "bad_inputs", "cancelled", "denied", "device_error", "memory_limit", "missing_export",
                     "missing_import", "output_limit", "timeout", "trap_div0", "trap_int_conversion",
                     "trap_int_overflow", "trap_oob", "trap_stack", "trap_undefined_element",
                     "trap_unreachable"}  # fmt: skip
    assert {kind for answer in expected[2] for kind, _ in answer["events"]} == {"log", "progress", "publish"}
