# What is frozen into a firmware: the board's own modules, asyncio, and the edge with what it shares with the hub.
# On a board include its manifest first, see firmware/README.md.
import os

include("$(MPY_DIR)/extmod/asyncio")


def _modules(name):
    """Without folders: edge/cpython is for Linux."""
    return tuple(sorted(file for file in os.listdir("../" + name) if file.endswith(".py")))


for _package in ("edge", "shared"):
    package(_package, files=_modules(_package), base_path="..", opt=2)
