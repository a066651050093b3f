"""`AllowedIds`: the answer of a grammar to "which AMT ids may come next", as one contiguous range, a mask and extras.

The same shape as the engines' contract, in AMT ids; the compose floor adds the text rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedIds:
    """Ids that may come next: `start <= id < stop` where `mask[id - start]` holds (None = all), or one of `extra`.

    `mask` is a view of the grammar's own array: it is valid until the next `accept`.
    """

    start: int
    stop: int
    mask: npt.NDArray[np.bool_] | None = None
    extra: tuple[int, ...] = ()

    def __contains__(self, amt_id: int) -> bool:
        """Whether `amt_id` may come next."""
        if self.start <= amt_id < self.stop:
            return self.mask is None or bool(self.mask[amt_id - self.start])
        return amt_id in self.extra
