"""Who may write what: shards, and what a worker holds of them."""

from collections import Counter

import pytest

from watcher.core.lease import SHARDS, STEWARDS, Lease, shard_of


def test_a_watch_stays_in_its_shard_for_ever() -> None:
    assert [shard_of(uid) for uid in ("uid-a", "uid-b", "condition of d7")] == [246, 76, 13]


def test_watches_spread_over_all_shards() -> None:
    spread = Counter(shard_of(f"uid-{number}") for number in range(100 * SHARDS))
    assert sorted(spread) == list(range(SHARDS))
    assert max(spread.values()) < 2 * 100


@pytest.mark.parametrize(
    ("shards", "share", "is_steward"),
    [(range(0), 0.0, False), (range(64), 0.25, True), (range(64, 128), 0.25, False), (range(SHARDS), 1.0, True)],
)
def test_a_share_is_the_part_of_all_shards_and_who_holds_the_first_is_the_steward(
    shards: range, share: float, *, is_steward: bool
) -> None:
    lease = Lease(dict.fromkeys(shards, 1))
    assert (lease.share, lease.is_steward) == (share, is_steward)
    assert STEWARDS in range(SHARDS)
