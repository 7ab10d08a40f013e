"""Run by MicroPython: the tests of one file of this folder. Prints a JSON object: None for each that passes, else why.

micropython run.py NAME FOLDER     for example test_outbox; the folder is for the tests' files
"""

import io
import json
import os
import re
import sys

import pytest


class Path:
    def __init__(self, path):
        self._path = path

    def __str__(self):
        return self._path

    def __truediv__(self, name):
        return Path(self._path + "/" + name)

    def write_bytes(self, data):
        with open(self._path, "wb") as file:
            file.write(data)

    def unlink(self):
        os.remove(self._path)


def names_in(name):
    """(name, parameters) of each, from the source: MicroPython's functions do not know their parameters' names."""
    with open(__file__.rpartition("/")[0] + "/" + name + ".py") as file:
        for line in file:
            found = re.match(r"def (test_\w+)\((.*)\):", line)
            if found:
                yield found.group(1), [word.strip() for word in found.group(2).split(",") if word]


def cases(test):
    """(function, values by name) of each case of a test."""
    if not isinstance(test, pytest.Cases):
        return [(test, {})]
    found = []
    for values in test.values:
        for function, others in cases(test.test):
            given = dict(zip(test.names, values))
            given.update(others)
            found.append((function, given))
    return found


class Run:
    def __init__(self, folder):
        self._folder = folder
        self._count = 0

    def run(self, test, parameters):
        for function, values in cases(test):
            patch = pytest.MonkeyPatch()
            fixtures = {"tmp_path": self._new_folder, "monkeypatch": lambda patch=patch: patch}
            given = dict(values)
            for name in parameters:
                if name not in values:
                    given[name] = fixtures[name]()
            try:
                function(**given)
            except BaseException as error:
                text = io.StringIO()
                sys.print_exception(error, text)
                return "%r: %s" % (values, text.getvalue())
            finally:
                patch.undo()
        return None

    def _new_folder(self):
        self._count += 1
        folder = "%s/%d" % (self._folder, self._count)
        os.mkdir(folder)
        return Path(folder)


def main(name, folder):
    module = getattr(__import__("tests.both." + name).both, name)
    run = Run(folder)
    print(json.dumps({test: run.run(getattr(module, test), parameters) for test, parameters in names_in(name)}))


main(sys.argv[1], sys.argv[2])
