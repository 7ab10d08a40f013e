"""What MicroPython has of pytest; see tests/both/run.py."""

import re


class Cases:
    """A test with the values of its parameters."""

    def __init__(self, test, names, values):
        self.test = test
        self.names = names
        self.values = values


class mark:
    @staticmethod
    def parametrize(names, values, ids=None):
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",")]
            if len(names) == 1:
                values = [(value,) for value in values]
        return lambda test: Cases(test, names, values)


class raises:
    def __init__(self, kind, match=None):
        self.kind = kind
        self.match = match
        self.value = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert error is not None, "nothing was raised"
        if not isinstance(error, self.kind):
            return False
        assert self.match is None or re.search(self.match, str(error)), error
        self.value = error
        return True


class MonkeyPatch:
    def __init__(self):
        self._before = []

    def setattr(self, owner, name, value):
        self._before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self):
        while self._before:
            setattr(*self._before.pop())

    def context(self):
        return _Context()


class _Context:
    def __enter__(self):
        self._patch = MonkeyPatch()
        return self._patch

    def __exit__(self, kind, error, trace):
        self._patch.undo()
