"""A workflow or a job as a graph: data, Mermaid and DOT that stay what they are whatever the names hold."""

import re

import pytest

from tests.api.test_looking import DIAMOND, TASK, get, workflow

# Names that try to leave the place they are printed at.
HOSTILE = [
    '"]\n-->', "a\\", '\\"', '"', "end", "x]; y --> z", "%%{init: {'theme':'forest'}}%%", "`*md*`", "#quot;", "|",
    "<script>&lt;</script>", "style a fill:#fff;", "\x00\x1b[31m", "Rīga ☃ 🛰 שלום", "subgraph", '" -> "evil', "\\N",
    "{{}}()", "\u2028",
]  # fmt: skip


async def test_a_graph_as_data_has_each_task_with_its_state_and_each_dependency(stage):
    stage.join("d1")
    path = await workflow(stage, DIAMOND)
    graph = await get(stage, f"{path}/graph")
    assert graph["nodes"][2] == {
        "id": "c", "name": "main", "state": 3, "state_name": "Completed", "cost": 3.0, "proplet_id": "d1",
    }  # fmt: skip
    assert graph["edges"] == [
        {"from": "a", "to": "b", "required": True},
        {"from": "a", "to": "c", "required": True},
        {"from": "b", "to": "d", "required": True},
        {"from": "c", "to": "d", "required": False},
    ]


async def test_a_parent_that_is_no_member_is_drawn_and_said_to_be_outside(stage):
    await stage.call("POST", "/tasks", {"id": "far", "name": "far"})
    path = await workflow(stage, [{"id": "a", **TASK}], run=False)
    await stage.call("POST", "/tasks", {"id": "late", **TASK, "workflow_id": "w", "depends_on": ["far", "a"]})
    graph = await get(stage, f"{path}/graph")
    assert [(node["id"], node.get("outside")) for node in graph["nodes"]] == [
        ("a", None), ("late", None), ("far", True),
    ]  # fmt: skip
    assert (await get(stage, f"{path}/plan"))["critical_path"] == ["a", "late"]


async def test_mermaid_and_dot_show_state_optional_dependencies_and_conditions(stage):
    stage.join("d1")
    path = await workflow(stage, [*DIAMOND, {"id": "alarm", "depends_on": ["d"], "run_if": "failure", **TASK}])
    answer = await stage.call("GET", f"{path}/graph?format=mermaid")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = [line.strip() for line in answer.text.splitlines()]
    assert lines[:2] == ["flowchart TD", 'n0["main (a)"]:::completed']
    assert {"n0 --> n1", "n2 -.-> n3", "n3 -->|failure| n4", 'n4["main (alarm)"]:::skipped'} <= set(lines)
    assert [line.split()[1] for line in lines if line.startswith("classDef")] == ["completed", "skipped"]
    lines = [line.strip() for line in (await stage.call("GET", f"{path}/graph?format=dot")).text.splitlines()]
    assert (lines[0], lines[-1]) == ('digraph "all" {', "}")
    assert {'"a" -> "b"', '"c" -> "d" [style=dashed]', '"d" -> "alarm" [label="failure"]'} <= set(lines)
    assert '"a" [label="main (a)", class="completed", fillcolor="#86efac"]' in lines


def dot_strings(line: str) -> list[str]:
    """The quoted strings of a line of DOT, read as Graphviz does; what is left must hold no quote."""
    strings = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    assert '"' not in re.sub(r'"(?:[^"\\]|\\.)*"', "", line), line
    return strings


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_name_breaks_out_of_its_label(stage, name):
    path = await workflow(stage, [{"id": "a", "name": name}, {"id": "b", "name": name, "depends_on": ["a"]}], run=False)
    mermaid = (await stage.call("GET", f"{path}/graph?format=mermaid")).text
    node = r'\["[^"\n]*"\]:::pending\n'
    assert re.fullmatch(rf"flowchart TD\n  n0{node}  n1{node}  n0 --> n1\n  classDef pending [^\n]*\n", mermaid)
    label = re.search(r'n0\["(.*)"\]', mermaid)[1]
    assert not set(label) & set("`<>%{}|\\'\x00\u2028")
    read = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label)
    assert read == "".join(char if char.isprintable() else " " for char in name) + " (a)"

    lines = (await stage.call("GET", f"{path}/graph?format=dot")).text.split("\n")
    assert len(lines) == 7, "one line each: head, style, two nodes, an edge, the end, nothing"
    assert [len(dot_strings(line)) for line in lines] == [1, 2, 4, 4, 2, 0, 0]
    read = re.sub(r"\\(.)", lambda code: "\n" if code[1] == "n" else code[1], dot_strings(lines[2])[1])
    shown = "".join(char if char.isprintable() or char == "\n" else " " for char in name)
    assert read.replace("&amp;", "&") == shown + " (a)"


async def test_a_workflow_s_own_name_does_not_break_out_either(stage):
    await stage.call("POST", "/workflows", {"workflow_id": "x", "name": '"{\n}', "tasks": [TASK]})
    head = (await stage.call("GET", "/workflows/x/graph?format=dot")).text.split("\n")[0]
    assert head == 'digraph "\\"{\\n}" {'
