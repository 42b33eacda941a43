"""Units to text while they come: nothing is said that a later unit could change, nothing after a stop string."""

from collections.abc import Sequence

from steelyard.engines.base import Text

UNFINISHED = "\ufffd"
MOST_HELD = 8  # units: a UTF-8 sequence has 4 bytes, so a run of bad bytes is told after this many


class Words:
    """Incremental detokeniser of one answer.

    Invariant: `ids[:read]` has been decoded; the text of `ids[begin:read]` is the context in which the next ids are
    decoded, since a tokenizer may join pieces differently at the start of a text.
    """

    def __init__(self, text: Text, stops: Sequence[str] = ()) -> None:
        self.text, self.stops = text, tuple(stops)
        self.ids: list[int] = []
        self.stopped_at: int | None = None
        """Units taken when a stop string was complete."""
        self.begin = self.read = 0
        self.held = ""
        """Decoded, but perhaps the beginning of a stop string."""

    def push(self, units: Sequence[int]) -> str:
        """Takes units, returns the text that may be said now. Units after a stop string are not taken."""
        said = []
        for unit in units:
            if self.stopped_at is not None:
                break
            self.ids.append(unit)
            said.append(self._say(self._decoded(last=False)))
        return "".join(said)

    def finish(self) -> str:
        """No more units will come: the rest of the text."""
        if self.stopped_at is not None:
            return ""
        said = self._say(self._decoded(last=True))
        if self.stopped_at is None:
            said, self.held = said + self.held, ""
        return said

    def _decoded(self, *, last: bool) -> str:
        context = self.text.decode(self.ids[self.begin : self.read])
        whole = self.text.decode(self.ids[self.begin :])
        unfinished = whole.endswith(UNFINISHED) and len(self.ids) - self.read < MOST_HELD
        if unfinished and not last:
            return ""
        self.begin, self.read = self.read, len(self.ids)
        return whole[len(context) :]

    def _say(self, fresh: str) -> str:
        self.held += fresh
        found = [at for at in (self.held.find(stop) for stop in self.stops) if at >= 0]
        if found:
            said, self.held = self.held[: min(found)], ""
            self.stopped_at = len(self.ids)
            return said
        keep = max((_overlap(self.held, stop) for stop in self.stops), default=0)
        at = len(self.held) - keep
        said, self.held = self.held[:at], self.held[at:]
        return said


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
