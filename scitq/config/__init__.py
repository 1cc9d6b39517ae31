"""What scitq is told by its surroundings: `load()` gives `Settings`, from flags, environment, files and defaults."""

from scitq.config.loading import for_fetch, load
from scitq.config.settings import Settings

__all__ = ["Settings", "for_fetch", "load"]
