"""Builds the modules of examples/ anew and compares them with those that lie there: `scripts/examples`.

examples/manifest.json says how each was built and from what, byte for byte:

    recipes  {name: {language, abi, tool, version, command}}: `version` is a command that prints what `tool` ends with;
             in `command` {name} stands for the module's name
    modules  {name: {recipe, sources: {file: sha256}, sha256, size_bytes}}, and abi where it is not the recipe's
"""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.docs.tables import with_table
from tests.e2e.world import EXAMPLES

MANIFEST = EXAMPLES / "manifest.json"
README = EXAMPLES / "README.md"


def manifest() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(MANIFEST.read_text())
    return document


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def command(recipe: dict[str, str], name: str) -> list[str]:
    """What builds a module, as arguments; `python` is this interpreter."""
    words = [word.replace("{name}", name) for word in shlex.split(recipe["command"])]
    return [sys.executable if word == "python" else word for word in words]


def lacking(recipe: dict[str, str]) -> str:
    """Why a recipe's tool cannot be used here, "" when it can: only the same version builds the same bytes."""
    words = [sys.executable if word == "python" else word for word in shlex.split(recipe["version"])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return f"needs {recipe['tool']}"
    wanted = recipe["tool"].split()[-1]
    if done.returncode or wanted not in done.stdout.split():
        return f"needs {recipe['tool']}, here is {done.stdout.strip() or 'none'}"
    return ""


def build(recipe: dict[str, str], name: str, sources: list[str]) -> bytes:
    """The module, built in a folder of its own that holds nothing but its sources; CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="motet-examples-") as folder:
        for source in sources:
            (Path(folder) / source).write_bytes((EXAMPLES / source).read_bytes())
        subprocess.run(command(recipe, name), cwd=folder, check=True, timeout=300)
        return (Path(folder) / f"{name}.wasm").read_bytes()


def table(document: dict[str, Any]) -> str:
    """The table of the modules in examples/README.md."""
    rows = ["| language | module | ABI | size | built by |", "|---|---|---|---|---|"]
    for name, module in document["modules"].items():
        recipe = document["recipes"][module["recipe"]]
        source = next(iter(module["sources"]))
        rows.append(
            f"| {recipe['language']} | [`{name}`]({source}) | {module.get('abi', recipe['abi'])} "
            f"| {module['size_bytes']:,} B | `{module['recipe']}` |"
        )
    return "\n".join(rows)


def commands(document: dict[str, Any]) -> str:
    """The table of the recipes in examples/README.md."""
    rows = ["| | with | command |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {recipe['tool']} | `{recipe['command'].replace('{name}', 'NAME')}` |"
        for name, recipe in document["recipes"].items()
    ]
    return "\n".join(rows)


def page(text: str, document: dict[str, Any]) -> str:
    """examples/README.md with both tables as the manifest has them."""
    return with_table(with_table(text, "modules", table(document)), "commands", commands(document))


def _record(name: str, module: dict[str, Any], data: bytes) -> None:
    (EXAMPLES / f"{name}.wasm").write_bytes(data)
    module["sources"] = {source: sha256((EXAMPLES / source).read_bytes()) for source in module["sources"]}
    module |= {"sha256": sha256(data), "size_bytes": len(data)}


def main(arguments: list[str] | None = None) -> int:
    """0 when every module that can be built here is the one that lies there, 1 when one differs."""
    parser = argparse.ArgumentParser(prog="scripts/examples", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help="modules, all unless given")
    parser.add_argument("--write", action="store_true", help="keep what was built, and write manifest and README anew")
    options = parser.parse_args(arguments)
    document = manifest()
    if unknown := set(options.names) - set(document["modules"]):
        parser.error(f"the manifest has no {', '.join(sorted(unknown))}")
    reasons = {name: lacking(recipe) for name, recipe in document["recipes"].items()}
    differ = 0
    for name, module in document["modules"].items():
        if options.names and name not in options.names:
            continue
        recipe = document["recipes"][module["recipe"]]
        verdict = reasons[module["recipe"]]
        if not verdict:
            data = build(recipe, name, list(module["sources"]))
            same = sha256(data) == module["sha256"]
            verdict = "same" if same else "written" if options.write else "DIFFERS"
            differ += verdict == "DIFFERS"
            if options.write:
                _record(name, module, data)
        print(f"{name:12} {recipe['language']:15} {module['size_bytes']:>8,} B  {module['sha256'][:12]}  {verdict}")
    if options.write:
        MANIFEST.write_text(json.dumps(document, indent=2) + "\n")
        README.write_text(page(README.read_text(), document))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
