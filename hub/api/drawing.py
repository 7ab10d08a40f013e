"""A workflow or job as a graph: nodes and edges as data, as Mermaid and as Graphviz DOT."""

from collections.abc import Iterable

from hub.core.model import Doc, Group, Task
from shared import states

_COLOURS = ("#e5e7eb", "#dbeafe", "#93c5fd", "#86efac", "#fca5a5", "#fde68a", "#d8b4fe")
CLASSES = tuple(name.lower() for name in states.NAMES)
_SHOWN = ("run_if", "when", "cost", "daemon", "proplet_id")
# What means nothing to Mermaid within quotes; a letter or digit of any script joins it.
_PLAIN = frozenset(" ._-()/,")


def graph_of(group: Group) -> Doc:
    """{"nodes": [{"id", "name", "state", "state_name", ...}], "edges": [{"from", "to", "required"}]}

    A parent that is no member of the group is a node with "outside": true. An edge of a sequential job that gives the
    order and passes no data has "order_only": true.
    """
    nodes = {task.id: _node(task) for task in group.tasks.values()}
    edges: list[Doc] = []
    for task in group.tasks.values():
        optional = task.doc.get("optional") or ()
        for parent in task.parents:
            nodes.setdefault(parent.id, {**_node(parent), "outside": True})
            edges.append({"from": parent.id, "to": task.id, "required": parent.id not in optional})
        if task.previous is not None and task.previous not in task.parents:
            edge = {"from": task.previous.id, "to": task.id, "required": group.fail_fast, "order_only": True}
            edges.append(edge)
    return {"nodes": list(nodes.values()), "edges": edges}


def _node(task: Task) -> Doc:
    return {
        "id": task.id,
        "name": task.doc["name"],
        "state": task.state,
        "state_name": states.NAMES[task.state],
        **{key: task.doc[key] for key in _SHOWN if task.doc.get(key)},
    }


def label(name: str, id: str) -> str:
    """What a person reads on a task: names are not unique, and may be the same as the id."""
    return id if name == id else f"{name} ({id})"


def mermaid(graph: Doc) -> str:
    """A Mermaid flowchart. An optional dependency is dotted, an edge that is not run_if success says so.

    Nodes have numbers for ids, since an id such as `end` is a word of Mermaid's.
    """
    at = {node["id"]: f"n{position}" for position, node in enumerate(graph["nodes"])}
    run_if = {node["id"]: node.get("run_if", "success") for node in graph["nodes"]}
    lines = ["flowchart TD"]
    for node in graph["nodes"]:
        text = _in_mermaid(label(node["name"], node["id"]))
        lines.append(f'  {at[node["id"]]}["{text}"]:::{CLASSES[node["state"]]}')
    for edge in graph["edges"]:
        arrow = "-->" if edge["required"] else "-.->"
        condition = "" if run_if[edge["to"]] == "success" else f"|{run_if[edge['to']]}|"
        lines.append(f"  {at[edge['from']]} {arrow}{condition} {at[edge['to']]}")
    used = _used(graph["nodes"])
    lines += [f"  classDef {CLASSES[state]} fill:{_COLOURS[state]},stroke:#374151,color:#111827" for state in used]
    return "\n".join(lines) + "\n"


def _used(nodes: Iterable[Doc]) -> list[int]:
    return sorted({node["state"] for node in nodes})


def _in_mermaid(text: str) -> str:
    """Everything that might be syntax as an entity code: Mermaid looks for `%%{`, markdown and HTML within quotes."""
    return "".join(
        char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" if char.isprintable() else " " for char in text
    )


def dot(graph: Doc, name: str) -> str:
    """A digraph for Graphviz. An optional dependency is dashed, an edge that is not run_if success says so."""
    run_if = {node["id"]: node.get("run_if", "success") for node in graph["nodes"]}
    lines = [f"digraph {_in_dot(name)} {{", '  node [shape=box, style="rounded,filled", fontname="sans-serif"]']
    for node in graph["nodes"]:
        state, text = node["state"], _in_dot(label(node["name"], node["id"]))
        lines.append(f'  {_in_dot(node["id"])} [label={text}, class="{CLASSES[state]}", fillcolor="{_COLOURS[state]}"]')
    for edge in graph["edges"]:
        traits = [] if edge["required"] else ["style=dashed"]
        if run_if[edge["to"]] != "success":
            traits.append(f'label="{run_if[edge["to"]]}"')
        lines.append(
            f"  {_in_dot(edge['from'])} -> {_in_dot(edge['to'])}" + (f" [{', '.join(traits)}]" if traits else "")
        )
    return "\n".join([*lines, "}"]) + "\n"


# A backslash begins Graphviz's own escapes (\N is the node's name), an ampersand an HTML entity.
_DOT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "&": "&amp;"}


def _in_dot(text: str) -> str:
    escaped = (_DOT.get(char) or (char if char.isprintable() else " ") for char in text)
    return f'"{"".join(escaped)}"'
