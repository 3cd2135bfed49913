"""watcher: polls the status APIs of message providers and tells your webhooks what changed.

Six files, in this order, and one knows the program:

1. `core/model.py`: the words: watch, observation, outcome, event, step
2. `ports.py`: every seam, and what whoever is behind it promises
3. `intake.py`: source → store, then acknowledge
4. `poll.py`: schedule → provider → advance → store
5. `core/lifecycle.py`: what one answered poll does to one watch; the only place that knows
6. `deliver.py`: outbox → webhook → store

`core/` and `providers/` decide: no loop, no clock, no dice, no disk, no log. Around them loops that wait and do as they
were told. What a delivery means stands in `core/webhook.py`, when a webhook may be sent to in `core/outlet.py`.
`outbox.py` has a pump for each webhook, `origins.py` those of callbacks; `feed.py` brings to the loops what is new in
the store, `keep.py` forgets what is old. Where many workers share a store, `tenure.py` keeps the lease, and each loop
asks `hold.py` what is ours. `crew.py` wires the loops, and changes those whose sections change (`roster.py`); `app.py`
opens what they need and heeds signals. What is behind a port stands in `sources/`, `stores/`, `transport/`; `http/` is
what `listen` serves. `config.py` makes the sections of `watcher.toml` into the values that act: a section is the
provider, the webhook. `cli/` is the commands, `demo/` the pretend providers and the receiver, which the tests use too.

The layers are contracts in `pyproject.toml`, and the build fails where an import goes up or sideways.
"""

__version__ = "0.1.0"
