"""Programs that pip does not bring. Tests that need one are skipped without it, and fail where `CI` is set."""

import os
import shutil

import pytest


def tool(name: str, *, package: str) -> str:
    """Return where a program is."""
    found = shutil.which(name)
    missing = f"{name} is not on PATH (Debian: apt-get install --no-install-recommends {package})"
    if found is None and "CI" in os.environ:
        pytest.fail(missing)
    if found is None:
        pytest.skip(missing)
    return found
