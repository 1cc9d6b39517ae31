"""Every projection there is."""

from __future__ import annotations

from typing import Any, Final

from scitq.projections import batches, executions, tasks, workers
from scitq.projections.projection import Projection

ALL: Final[tuple[Projection[Any], ...]] = (
    tasks.PROJECTION,
    executions.PROJECTION,
    workers.PROJECTION,
    batches.PROJECTION,
)
