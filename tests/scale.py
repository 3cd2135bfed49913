"""How much a test does: enough to fail for what it is about, or, in `make chaos`, as much as is promised."""

import os

IS_LONG = "CHAOS" in os.environ


def scaled(few: int, *, long: int) -> int:
    """Return `few`, or `long` in a long run."""
    return long if IS_LONG else few
