"""Keeps one account's grant fresh: logs in when it is needed, renews before it expires, one renewal at a time."""

from collections.abc import Mapping
from datetime import timedelta
from math import inf
from typing import TypeAlias, assert_never

import anyio

from watcher.aside import Aside
from watcher.core.model import Reason
from watcher.core.outcome import Broken, Denied, Grant, Throttled
from watcher.core.wire import NoAnswer, Request
from watcher.ports import AwsChain, Clock, Provider, Transport

MARGIN = 60.0
CHAIN_CHECKED_EVERY = timedelta(minutes=5)
CHAIN_MAY_LAST = 300.0  # seconds, after which another one is asked beside it
FIRST_WAIT = 5.0
LONGEST_WAIT = 300.0

Refusal: TypeAlias = Denied | Throttled | Broken


class Tokens:
    """The grant of one account. A login that fails is not hammered: its refusal is the answer until the next try."""

    def __init__(self, provider: Provider, *, transport: Transport, clock: Clock) -> None:
        self._provider = provider
        self._transport = transport
        self._clock = clock
        self._one_at_a_time = anyio.Lock()
        self._needs_login = provider.login(None) is not None
        self._grant: Grant | None = None
        self._fresh_until = 0.0
        self._ends_at = 0.0
        self._refusal: Refusal | None = None
        self._wait = FIRST_WAIT
        self._try_again_at = 0.0
        self._chain: Aside[Mapping[str, str] | Denied | Broken] | None = None  # being asked
        self._chain_may_last = CHAIN_MAY_LAST

    async def grant(self, *, instead_of: Grant | None = None) -> Grant | Refusal | None:
        """Return a grant that is fresh, and another than `instead_of`; None where none is needed, or why there is none.

        However many ask at the same time, one login is made.
        """
        if not self._needs_login:
            return None
        if self._usable(instead_of):
            return self._grant
        async with self._one_at_a_time:
            if self._usable(instead_of):
                return self._grant
            refused = self._refusal is not None and self._clock.monotonic() < self._try_again_at
            answer = self._refusal if refused else self._keep(await self._renew())
            return answer if isinstance(answer, Grant) or not self._works_still(instead_of) else self._grant

    def _works_still(self, instead_of: Grant | None) -> bool:
        """Is there an old grant that may be used on, as a new one cannot be had just now?"""
        return self._grant is not None and self._grant is not instead_of and self._clock.monotonic() < self._ends_at

    def _usable(self, instead_of: Grant | None) -> bool:
        if self._grant is None or self._grant is instead_of:
            return False
        return self._clock.monotonic() < self._fresh_until

    def hold(self, refusal: Refusal) -> None:
        """Answer with `refusal` who wants another grant, for a while: the one just made did not help either."""
        self._refusal = refusal
        self._try_again_at = self._clock.monotonic() + FIRST_WAIT

    def _keep(self, answer: Grant | Refusal) -> Grant | Refusal:
        now = self._clock.monotonic()
        if isinstance(answer, Grant):
            self._grant, self._refusal, self._wait = answer, None, FIRST_WAIT
            self._fresh_until = now + self._life(answer)
            self._ends_at = max(self._fresh_until, now + self._left(answer))
        else:
            self._refusal = answer
            self._try_again_at = now + self._wait
            self._wait = min(self._wait * 2, LONGEST_WAIT)
        return answer

    def _life(self, grant: Grant) -> float:
        """Say for how many seconds a grant is used; also one that is over at once, or each poll would log in."""
        left = self._left(grant)
        return max(left - min(MARGIN, left / 10), FIRST_WAIT) if left < inf else inf

    def _left(self, grant: Grant) -> float:
        return inf if grant.expires_at is None else (grant.expires_at - self._clock.now()).total_seconds()

    async def _renew(self) -> Grant | Refusal:
        """Refresh what there is; where that is refused, log in anew."""
        if self._grant is not None:
            answer = await self._login(self._grant)
            if not isinstance(answer, Denied):
                return answer
            self._grant = None
        return await self._login(None)

    async def _login(self, grant: Grant | None) -> Grant | Refusal:
        login = self._provider.login(grant)
        match login:
            case Request():
                response = await self._transport.send(login, within=self._provider.timeout)
                if isinstance(response, NoAnswer):
                    return Broken(Reason.UNREACHABLE, detail=f"login: {response.detail}", fault=response.fault)
                return self._provider.granted(response)
            case AwsChain():
                return await self._from_chain()
            case None:
                return Denied(401, "there is nothing to log in with")
            case _:
                assert_never(login)

    async def _from_chain(self) -> Grant | Refusal:
        """Wait for what the chain finds. Where that takes too long it goes on, and its answer is the next try's."""
        chain = self._chain
        if chain is None or chain.age > self._chain_may_last:
            # What hangs for ever takes few threads, however long it does.
            self._chain_may_last = CHAIN_MAY_LAST if chain is None else 2 * self._chain_may_last
            try:
                chain = self._chain = Aside(_aws_keys, name="aws credentials")
            except OSError as error:
                return Broken(Reason.UNREACHABLE, detail=f"AWS credentials: {error.strerror}")
        try:
            with anyio.move_on_after(self._provider.timeout.total_seconds()):
                found = await chain.result()
                return found if isinstance(found, Refusal) else Grant(found, self._clock.now() + CHAIN_CHECKED_EVERY)
        finally:
            if chain.is_over and self._chain is chain:
                self._chain = None
        return Broken(Reason.UNREACHABLE, detail="AWS credentials: no answer in time")


def _aws_keys() -> Mapping[str, str] | Denied | Broken:
    """Resolve botocore's credential chain, which may ask the network: in a thread, anew each time."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # the `aws` extra, for `chime` only
    from botocore.session import get_session  # noqa: PLC0415

    try:
        found = get_session().get_credentials()
        keys = found.get_frozen_credentials() if found else None
    except ClientError as error:  # AWS answered: a role that may not be assumed, a session that is over
        return Denied(403, f"AWS credentials: {error.response['Error'].get('Code', 'refused')}")
    except BotoCoreError as error:
        return Broken(Reason.UNREACHABLE, detail=f"AWS credentials: {type(error).__name__}")
    if keys is None:
        return Denied(401, "no AWS credentials: set keys, or an instance role, or ~/.aws")
    named = {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "session_token": keys.token,
    }
    return {name: value for name, value in named.items() if value}
