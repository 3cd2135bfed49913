"""The one browser that the tests of the page look through."""

from collections.abc import Iterator

import pytest
from chromium import chromium


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run it; each test has a tab of its own, which shares nothing with the others."""
    with chromium(tmp_path_factory.mktemp("chromium")) as address:
        yield address
