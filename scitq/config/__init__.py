"""What scitq is told by its surroundings: `load()` gives `Settings`, from flags, environment, files and defaults."""

from scitq.config.loading import load
from scitq.config.settings import Settings

__all__ = ["Settings", "load"]
