"""A task queue whose every state is a fold of recorded facts.

Import what you need by its full name (`from scitq.domain.task import …`); nothing is loaded from here.
"""

__version__ = "0.0.1.dev0"
