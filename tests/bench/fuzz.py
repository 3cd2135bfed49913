"""Any status, headers and bytes have a meaning: as `providers/test_any_bytes.py`, with thousands of examples."""

from collections import Counter
from typing import get_args

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from providers.test_any_bytes import ACCOUNTS, PARAMS, TYPES, responses

from watcher.core.outcome import Ask, Final
from watcher.core.wire import Request, Response

EXAMPLES = 20_000


def outcomes(name: str) -> Counter[str]:
    """Let one provider read so many answers, half of them to a second request; count what they meant."""
    account, asked = ACCOUNTS[name], PARAMS[name]
    follows = Ask(Request("GET", account.request(asked).url))
    counted: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(response=responses(name), after=st.sampled_from([None, follows]))
    def read(response: Response, after: Ask | None) -> None:
        outcome = account.parse(asked, response, after=after)
        assert isinstance(outcome, (*get_args(Final), Ask))
        counted[outcome.__class__.__name__.lower()] += 1

    read()
    return counted


def main() -> None:
    """Print a line for each provider; a failure is printed by hypothesis, with the answer that caused it."""
    for name in TYPES:
        counted = outcomes(name)
        kinds = "  ".join(f"{kind} {number:,}" for kind, number in counted.most_common())
        print(f"{name:<8}{counted.total():>8,}   {kinds}", flush=True)
