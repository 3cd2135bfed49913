"""watcher: polls the status APIs of message providers and tells your webhooks what changed.

Six files, in this order, and one knows the program:

1. `core/model.py`: the words: watch, observation, event, step; beside it `core/outcome.py`: what an answer means
2. `ports.py`: every seam, and what whoever is behind it promises; that of the store is `store.py`
3. `intake.py`: source → store, then acknowledge
4. `poll.py`: schedule → provider → advance → store
5. `core/lifecycle.py`: what one answered poll does to one watch; the only place that knows
6. `deliver.py`: outbox → webhook → store

`core/` and `providers/` decide: no loop, no clock, no dice, no disk, no log. Around them loops that wait and do as they
were told. The rest, from the signal to the socket:

- the daemon: `app.py` opens what the configuration names and heeds signals, `crew.py` wires the loops and changes those
  whose sections change, `roster.py` lets them come and go, `pulse.py` knows which is stuck, `systemd.py` tells it
- configuration: `config.py` makes each section of `watcher.toml` the value that acts; `sections.py` says what is wrong
  with one, `references.py` finds secrets, `masking.py` hides them, `database.py` and `opening.py` the store
- in: `sources/`, `room.py` (is there room for more?), `feed.py` (what is new in the store), `wanted.py` (what commands
  want of us)
- polls: `rota.py` says whose turn it is, `ask.py` makes one, `tokens.py` keeps the login, `record.py` commits and logs
  what it changed, `poll_log.py` logs the rest, `notices.py` tells what became of the account, `lately.py` remembers
  what nobody stores
- deliveries: `core/webhook.py` says what one means, `core/outlet.py` when a webhook may be sent to. `outbox.py` has a
  pump for each webhook, `origins.py` those of callbacks; `at_hand.py` is what one has fetched, `budget.py` how much
  that may be, `attempt.py` one POST, `posting.py` how it leaves
- the store: `stores/`. `keep.py` forgets what is old; where many workers share it `tenure.py` keeps the lease, and each
  loop asks `hold.py` what is ours
- out: `transport/` is HTTP and the guard of addresses, `http/` what `listen` serves, the page among it; `log.py` and
  `printer.py` the lines, `metrics.py` and `tally.py` the numbers
- commands: `cli/`; what they do by themselves is in `errand.py`, `doctor.py`, `survey.py`; `demo/` has the pretend
  providers and the receiver, which the tests use too
- smallest: `bell.py` wakes a loop, `aside.py` is a thread for one call that may hang, `clock.py` is the machine's

The layers are contracts in `pyproject.toml`, and the build fails where an import goes up or sideways.
"""

__version__ = "0.1.0"
