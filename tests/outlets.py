"""A webhook that tests send to, without sending: what came back, at moments after the start."""

from make import START, after, webhook

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.outlet import Outlet
from watcher.core.webhook import Kind, Meaning

ANSWERED = {
    Kind.DELIVERED: 204,
    Kind.ABORTED: 422,
    Kind.DISABLED: 410,
    Kind.TOO_LARGE: 413,
    Kind.PAUSED: 429,
    Kind.REFUSED: 422,
    Kind.OVERLOADED: 503,
    Kind.FAILED: 500,
}


NEW = Endpoint("ops", section="1")


class Sent:
    """A webhook that is sent to, at moments after the start."""

    def __init__(self, endpoint: Endpoint = NEW, **section: object) -> None:
        self.outlet = Outlet(endpoint, terms=webhook(**section), now=START)

    @property
    def endpoint(self) -> Endpoint:
        return self.outlet.endpoint

    def post(
        self,
        watch: str,
        kind: Kind,
        *,
        at: str = "0s",
        began: str | None = None,
        status: int | None = None,
        until: str = "1h",
    ) -> None:
        """Have a POST that came back at a moment, and began then or earlier."""
        self.outlet.begin(watch, again=False)
        self.back(watch, kind, at=at, began=began, status=status, until=until)

    def back(
        self,
        watch: str,
        kind: Kind,
        *,
        at: str = "0s",
        began: str | None = None,
        again: bool = False,
        status: int | None = None,
        until: str = "1h",
    ) -> None:
        """Have a POST come back that was begun."""
        began_at = after(began or at)
        duration = (after(at) - began_at).total_seconds()
        means = Meaning(
            kind,
            until=after(until) if kind is Kind.PAUSED else None,
            disabled=Disabled.GONE if kind is Kind.DISABLED else None,
        )
        attempt = Attempt(1, began_at, duration, status or ANSWERED.get(kind))
        self.outlet.end(watch, means, again=again, attempt=attempt, began_at=began_at)

    def fail(self, *watches: str, kind: Kind = Kind.FAILED, at: str = "0s") -> None:
        for watch in watches:
            self.post(watch, kind, at=at)

    def slots(self, *, first: bool = True, again: bool = True) -> str:
        """Begin as many as may be in flight at once: `f` for a first attempt, `a` for one again."""
        begun = ""
        while (choice := self.outlet.choose(first=first, again=again)) is not None:
            self.outlet.begin("x", again=choice)
            begun += "a" if choice else "f"
        return begun

    def room(self) -> int:
        """Return how many more first attempts may be in flight."""
        begun = self.slots(again=False)
        for _ in begun:
            self.outlet.abandon(again=False)
        return len(begun)

    def wait(self, at: str = "0s") -> float:
        return self.outlet.wait(now=after(at))
