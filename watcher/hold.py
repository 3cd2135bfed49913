"""What this process may poll and send just now, as its lease says: of which watches, how much, and for how long."""

from collections.abc import Collection, Mapping
from math import inf

from watcher.core.lease import SHARDS, Lease, shard_of
from watcher.ports import Clock


class Hold:
    """Asked by every loop before it polls or sends anything. As long as nothing was said it is of everything.

    `share` is the part of each limit that may be used here; of all processes together it is never more than 1.
    `is_shared`: there can be others; so many `workers` there are. `losses` grows when something is not held any more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epochs: Mapping[int, int] | None = None
        self._until = inf
        self.share = 1.0
        self.is_shared = False
        self.workers = 1
        self.losses = 0

    @property
    def is_valid(self) -> bool:
        """May anything be polled or sent at all? Not while the lease may be over."""
        return self._clock.monotonic() < self._until

    def has(self, uid: str) -> bool:
        """May this watch be polled, and its events sent, from here?"""
        return self.share == 1 or (self._epochs is not None and shard_of(uid) in self._epochs)

    def epoch(self, uid: str) -> int | None:
        """Return under which epoch a watch is held; under another one others may have had it meanwhile.

        None: it is not held, or there are no others.
        """
        return self._epochs.get(shard_of(uid)) if self.is_shared and self._epochs is not None else None

    def burst(self, whole: int) -> int:
        """Return our part of what may be sent at once. All parts are no more than the whole, or 1 for each worker."""
        return 1 + int(max(whole - self.workers, 0) * self.share)

    def extend(self, lease: Lease, *, asked_at: float) -> None:
        """Go on for as long as a lease lasts that was asked for at a monotonic second."""
        self.is_shared, self.workers = lease.lasts is not None, lease.workers
        self._until = inf if lease.lasts is None else asked_at + lease.lasts.total_seconds()

    def shrink(self, lease: Lease) -> frozenset[int]:
        """Let go of what a lease holds no more, or under another epoch, or others want; return which shards."""
        before = self._epochs or {}
        kept = {shard: epoch for shard, epoch in before.items() if self._keeps(shard, epoch, lease)}
        if self._epochs is not None:
            self._set(kept)
        return frozenset(before.keys() - kept.keys())

    def grow(self, lease: Lease) -> frozenset[int]:
        """Take all that a lease holds and nobody else wants; return the shards that are new."""
        held = {shard: epoch for shard, epoch in lease.epochs.items() if shard not in lease.wanted}
        new = frozenset(held.keys() - (self._epochs or {}).keys())
        self._set(held)
        return new

    def drop(self, shards: Collection[int]) -> None:
        """Let go of these after all."""
        self._set({shard: epoch for shard, epoch in (self._epochs or {}).items() if shard not in shards})

    def _set(self, epochs: Mapping[int, int]) -> None:
        self.losses += not (self._epochs or {}).items() <= epochs.items()
        self._epochs = epochs
        self.share = len(epochs) / SHARDS

    def _keeps(self, shard: int, epoch: int, lease: Lease) -> bool:
        return lease.epochs.get(shard) == epoch and shard not in lease.wanted
