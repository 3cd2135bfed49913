"""Waking other workers when there is something new for them. Nothing hangs on it: each looks for itself, too."""

import anyio

from watcher.core.lease import News
from watcher.stores.postgres_connection import Database

NEWS = {news.value: news for news in News}


async def tell(db: Database, news: News) -> None:
    """Wake all who listen as soon as the transaction is durable; told often in it they are woken once."""
    await db.execute("SELECT pg_notify(current_schema(), $1)", news)


class Heard:
    """What was told and nobody has taken yet."""

    def __init__(self) -> None:
        self._news: set[News] = set()
        self._event = anyio.Event()

    def add(self, word: str) -> None:
        """Take note of what is told; a word that a newer version says means nothing."""
        if word in NEWS:
            self._news.add(NEWS[word])
            self._event.set()

    async def take(self) -> frozenset[News]:
        """Wait until there is something, and take all of it."""
        await self._event.wait()
        self._event, news = anyio.Event(), frozenset(self._news)
        self._news.clear()
        return news
