"""Who may write what: watches live in shards, and workers lease shards. Values only; taking a lease is the store's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zlib import crc32

SHARDS = 256
STEWARDS = 0  # the shard whose holder does what concerns everybody


class News(StrEnum):
    """What other workers may have written just now."""

    WANTED = "wanted"  # requests, cancellations, and what else is wanted of owners
    KNOWN = "known"  # what is known of providers and webhooks, or waits for webhooks
    SHARED = "shared"  # who takes part, and shards that were let go of


def shard_of(uid: str) -> int:
    """Return the shard of a watch, or of a provider's condition, for ever the same."""
    return crc32(uid.encode()) % SHARDS


@dataclass(frozen=True, slots=True)
class Lease:
    """What one worker holds.

    `epochs` says under which epoch each shard is held; the others are not. `wanted` are held ones that another worker
    waits for: to be released as soon as nothing of them is in flight. `lasts` is for how long one may go on polling
    and sending, counted from the call that brought this; None: for ever. So many `workers` take part.
    """

    epochs: Mapping[int, int]
    wanted: frozenset[int] = frozenset()
    lasts: timedelta | None = None
    workers: int = 1

    @property
    def share(self) -> float:
        """The part of everything that is held; of all workers together never more than 1."""
        return len(self.epochs) / SHARDS

    @property
    def is_steward(self) -> bool:
        """Does its holder do what concerns everybody: forget what is old, replay, switch webhooks?"""
        return STEWARDS in self.epochs
