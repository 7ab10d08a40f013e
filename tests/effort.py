"""How much a long test does: a tenth in scripts/test, with the same seeds every time; the whole in scripts/soak."""

import os

SOAK = bool(os.environ.get("MOTET_SOAK"))


def effort(whole: int) -> int:
    """So many examples or rounds."""
    return whole if SOAK else max(1, whole // 10)
