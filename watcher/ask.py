"""One poll of one watch: authorize, send, read, and ask once more where that is needed. It keeps and logs nothing."""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from http import HTTPStatus
from itertools import count
from typing import TypeAlias

from watcher.core.model import Params, Reason
from watcher.core.outcome import Ask, Broken, Denied, Final, Grant, Seen
from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.ports import Clock, Provider, Transport
from watcher.tokens import Tokens

MOST_REQUESTS = 6  # one, three more that answers ask for, one again with a fresh token, one with the right time
LEAST_SKEW = timedelta(seconds=60)
MOST_SKEW = timedelta(days=366)  # what claims to be further away is no clock


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The very bytes that were seen last: nothing to read, nothing to write. `answer` is as below."""

    answer: Response | NoAnswer | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a poll brought; `digest` is of its body where the same body again would mean the same.

    `answer` is the last as it came, for people who look into it; None where a login was refused.
    """

    outcome: Final
    digest: bytes | None = None
    answer: Response | NoAnswer | None = field(default=None, repr=False, compare=False)


Polled: TypeAlias = Unchanged | Answered


class Asker:
    """Asks one account, with its credentials; what is signed tells the time by the account's own clock."""

    def __init__(self, provider: Provider, *, transport: Transport, clock: Clock) -> None:
        self._provider = provider
        self._transport = transport
        self._clock = clock
        self._tokens = Tokens(provider, transport=transport, clock=clock)
        self._skew = timedelta(0)
        self._secret, self._count = secrets.token_hex(12), count()

    async def poll(self, params: Params, *, digest: bytes | None) -> Polled:
        """Ask for one watch; `digest` is that of the body seen last, None if the answer must be read.

        Where credentials have run out, asks once more with fresh ones; where our clock is wrong, with the right time.
        All requests together end in the section's `timeout`; a login has its own.
        """
        grant, renewed, corrected = await self._tokens.grant(), False, False
        within = self._provider.timeout
        until = self._clock.monotonic() + within.total_seconds()
        request, after = self._provider.request(params), None
        for _ in range(MOST_REQUESTS):
            if grant is not None and not isinstance(grant, Grant):
                return Answered(grant)
            skew = self._skew
            answer = await self._transport.send(self._signed(request, grant), within=within)
            if isinstance(answer, NoAnswer):
                return Answered(broken(answer), answer=answer)
            known = _digest(answer) if after is None else None
            if known is not None and known == digest:
                return Unchanged(answer)
            outcome = self._provider.parse(params, answer, after=after)
            within = timedelta(seconds=until - self._clock.monotonic())
            if isinstance(outcome, Ask):
                request, after = outcome.request, outcome
            elif isinstance(outcome, Denied) and not corrected and self._corrects(answer, skew):
                corrected = True
            elif isinstance(outcome, Denied) and outcome.renewable and grant is not None and not renewed:
                grant, renewed = await self._tokens.grant(instead_of=grant), True
            else:
                if isinstance(outcome, Denied) and outcome.renewable and renewed:
                    self._tokens.hold(outcome)
                return Answered(outcome, known if isinstance(outcome, Seen) else None, answer)
        return Answered(Broken(Reason.MALFORMED, detail="each answer asks for one more request"))

    def _signed(self, request: Request, grant: Grant | None) -> Request:
        nonce = f"{self._secret}{next(self._count):08x}"  # nobody can guess it, and none comes twice
        return self._provider.authorize(request, grant, now=self._clock.now() + self._skew, nonce=nonce)

    def _corrects(self, answer: Response, skew: timedelta) -> bool:
        """Take the time from an answer to what was signed with `skew`; True if that was wrong.

        AWS and tokens that expire are denied to who is minutes off; each answer says what time it is there.
        """
        actual = answer.served_at - answer.received_at if answer.served_at else skew
        if abs(actual - skew) <= LEAST_SKEW or abs(actual) > MOST_SKEW:
            return False
        self._skew = actual
        return True


def broken(answer: NoAnswer) -> Broken:
    """Say what it means that there was no answer."""
    odd = answer.fault in {Fault.TOO_LARGE, Fault.GARBAGE}
    return Broken(Reason.MALFORMED if odd else Reason.UNREACHABLE, None, answer.detail, answer.fault)


def _digest(answer: Response) -> bytes | None:
    """Return the digest of a body that would mean the same if it came again; a `Retry-After` must be read each time."""
    if answer.status != HTTPStatus.OK or "retry-after" in answer.headers:
        return None
    return blake2b(answer.body, digest_size=16).digest()
