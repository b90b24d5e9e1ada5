"""An array that grows by rows."""

from __future__ import annotations

import numpy as np

from edgetl.types import Array


class GrowingRows:
    """An array [n, width] that grows at its end without moving what is there each time."""

    def __init__(self, data: Array) -> None:
        self._data, self._n = data, len(data)

    @property
    def array(self) -> Array:
        """The rows; a view, valid until the next change."""
        return self._data[: self._n]

    def reserve(self, n: int) -> None:
        """Makes room for `n` rows in all."""
        if n > len(self._data):
            grown = np.empty((n, self._data.shape[1]), self._data.dtype)
            grown[: self._n] = self.array
            self._data = grown

    def append(self, rows: Array) -> None:
        """Adds rows [k, width] at the end."""
        n = self._n + len(rows)
        if n > len(self._data):
            self.reserve(n + n // 8)
        self._data[self._n : n], self._n = rows, n

    def keep(self, kept: Array) -> None:
        """Drops the rows where `kept`, bool [n], is false."""
        self._data = self.array[kept]
        self._n = len(self._data)
