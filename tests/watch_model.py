"""What a store must do with one watch, said again in the plainest way: all its states so far, and no table."""

from dataclasses import dataclass, field

from watcher.core.model import Step, Watch


@dataclass
class Known:
    """What the store must know of one watch: all its states so far, the last is the current one."""

    history: list[Watch]
    sequences: list[int | None] = field(default_factory=list)
    wanted: bool = False
    forgotten: bool = False

    @property
    def now(self) -> Watch:
        return self.history[-1]

    def accept(self, step: Step) -> None:
        self.history.append(step.watch)
        self.sequences += [event.sequence for event in step.events]
        self.wanted = self.wanted and step.watch.ending is None

    def forget_what_ended(self) -> None:
        """Keep no more than its id, if it has ended."""
        if self.now.ending is not None:
            self.sequences, self.forgotten = [], True
