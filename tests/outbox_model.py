"""What a store must do with deliveries, said again in the plainest way: lists, and no index."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Waiting:
    """A delivery that waits. `place` is where it stands among all that wait for the webhook; `event` breaks a tie."""

    watch: str | None
    sequence: int | None
    event: int
    place: float
    loose: bool = False
    again: bool = False
    batch: str | None = None
    loosens: bool = False

    @property
    def name(self) -> tuple[str | None, int | None]:
        return self.watch, self.sequence


@dataclass
class OutboxModel:
    """All webhooks' deliveries. Events are counted, so that a replay can go behind the last of them."""

    events: int = 0
    unordered: set[str] = field(default_factory=set)
    waits: defaultdict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    over: defaultdict[str, dict[tuple[str | None, int | None], tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def tell(self, watch: str | None, sequence: int | None, *, to: tuple[str, ...]) -> None:
        self.events += 1
        for webhook in to:
            self._wait(webhook, Waiting(watch, sequence, self.events, self.events))

    def _wait(self, webhook: str, one: Waiting) -> None:
        one.loose = webhook in self.unordered
        self.waits[webhook] = sorted([*self.waits[webhook], one], key=lambda each: (each.place, each.event))

    def lane(self, webhook: str, watch: str | None) -> list[Waiting]:
        return [one for one in self.waits[webhook] if one.watch == watch and not one.loose]

    def heads(self, webhook: str) -> list[Waiting]:
        return [one for one in self.waits[webhook] if one.loose or one is self.lane(webhook, one.watch)[0]]

    def find(self, webhook: str, watch: str | None, sequence: int | None) -> Waiting:
        return next(one for one in self.waits[webhook] if one.name == (watch, sequence))

    def members(self, webhook: str, head: Waiting, *, limit: int) -> list[Waiting]:
        if head.batch is not None:
            mates = [one for one in self.waits[webhook] if one.batch == head.batch and one is not head]
            return [head, *mates][:limit]
        return [head] if head.loose else self.lane(webhook, head.watch)[:limit]

    def end(self, webhook: str, one: Waiting, *, status: str) -> None:
        self.waits[webhook].remove(one)
        self.over[webhook][one.name] = one.event, status

    def give_up_lane(self, webhook: str, watch: str | None) -> None:
        for one in [each for each in self.waits[webhook] if each.watch == watch]:
            self.end(webhook, one, status="exhausted")

    def loosen(self, webhook: str, head: Waiting) -> None:
        for one in self.lane(webhook, head.watch):
            one.loose = one is head or (head.batch is not None and one.batch == head.batch)

    def loosen_all(self) -> int:
        """Loosen all heads of lanes that are to; what comes behind them holds back others for itself."""
        late = [
            (webhook, one)
            for webhook in list(self.waits)
            for one in self.heads(webhook)
            if one.loosens and not one.loose
        ]
        for webhook, one in late:
            self.loosen(webhook, one)
        return len(late)

    def order(self, webhook: str, *, ordered: bool) -> None:
        if ordered == (webhook not in self.unordered):
            return
        (self.unordered.discard if ordered else self.unordered.add)(webhook)
        for one in self.waits[webhook]:
            one.loose = not ordered

    def replay(self, webhook: str, *, exhausted: bool, everything: dict[tuple[str | None, int | None], int]) -> int:
        """Send again to a webhook all of `everything`, or what of it was given up; return how many."""
        over = self.over[webhook]
        waits = {one.name for one in self.waits[webhook]}
        chosen = [name for name in everything if name not in waits]
        if exhausted:
            chosen = [name for name in chosen if name in over and over[name][1] == "exhausted"]
        for name in chosen:
            over.pop(name, None)
            self._wait(webhook, Waiting(*name, event=everything[name], place=self.events + 0.5, again=True))
        return len(chosen)
