"""Run on a board by `motet flash`: motet.json becomes what was copied beside it, and a power cut leaves one of the two.

Nothing is renamed: FAT removes the old file before it gives a new one its name, and may leave two names of one file.
"""

import json
import os


def settle(path: str) -> None:
    """Put what is whole in the file beside, if anything, into the file; until that is done, it is what counts."""
    try:
        with open(path + ".new") as file:
            text = file.read()
        json.loads(text)
    except (OSError, ValueError):
        return
    with open(path, "w") as file:
        file.write(text)
    os.remove(path + ".new")
