"""The canonical engine teacher-forced: what peers are compared with."""

from pathlib import Path

import numpy as np

from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.model import Feed
from steelyard.engines.canonical.program import address, aligned

ANSWER = 40
CONTEXT = 512


class Ours:
    """Logits of every position, and greedy answers. `cache`: where the packed file goes, if not to the user's own."""

    def __init__(self, path: Path, cache: Path | None = None) -> None:
        file = models.open_file(path, cache)
        self._model = models.load(file, 2)
        self._vocabulary = file.shape.vocabulary
        self._pages = [aligned((self._model.page_bytes,), np.uint8) for _ in range(CONTEXT // 128)]
        self._table = np.array([address(page) for page in self._pages], np.int64)

    def logits(self, ids: list[int], start: int = 0) -> np.ndarray:
        """Rows for ids[start:], given that what is before has been computed."""
        rows = []
        for at in range(start, len(ids), 64):
            some = ids[at : at + 64]
            feed = Feed(some, list(range(at, at + len(some))), [address(self._table)] * len(some), [*range(len(some))])
            rows.append(self._model.step(feed)[1][:, : self._vocabulary].copy())
        return np.concatenate(rows)

    def answer(self, prompt: list[int]) -> list[int]:
        ids, start = list(prompt), 0
        for _ in range(ANSWER):
            rows = self.logits(ids, start)
            start = len(ids)
            ids.append(int(rows[-1].argmax()))
        return ids

    def close(self) -> None:
        self._model.close()
