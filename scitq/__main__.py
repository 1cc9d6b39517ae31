"""`python -m scitq` is the command `scitq`, also where its scripts are not on the PATH."""

from scitq.programs import scitq

scitq()
