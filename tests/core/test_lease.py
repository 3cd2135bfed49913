from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.lease import SHARDS, Lease, shard_of


@given(st.text())
def test_every_watch_has_a_shard(uid: str) -> None:
    assert 0 <= shard_of(uid) < SHARDS


def test_the_shard_of_a_watch_never_changes() -> None:
    """Or what is stored would belong to nobody."""
    assert [shard_of(uid) for uid in ("", "0", "00ff", "9f86d081884c7d659a2feaa0c55ad015")] == [0, 33, 97, 18]


def test_watches_are_spread_evenly() -> None:
    filled = Counter(shard_of(f"{number:032x}") for number in range(100 * SHARDS))
    assert len(filled) == SHARDS
    assert max(filled.values()) < 200


@pytest.mark.parametrize(
    ("held", "share", "is_steward"), [([], 0.0, False), ([0], 1 / 256, True), ([5, 9], 2 / 256, False)]
)
def test_a_lease_says_which_part_of_everything_it_is(held: list[int], share: float, *, is_steward: bool) -> None:
    lease = Lease(dict.fromkeys(held, 1), lasts=timedelta(seconds=10))
    assert (lease.share, lease.is_steward) == (share, is_steward)


def test_all_shards_together_are_everything() -> None:
    assert Lease(dict.fromkeys(range(SHARDS), 1)).share == 1
