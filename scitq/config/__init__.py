"""What scitq is told by its surroundings: `load()` gives `Settings`, from flags, environment, files and defaults."""

from scitq.config.settings import Settings, load

__all__ = ["Settings", "load"]
