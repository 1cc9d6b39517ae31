"""`python -m scitq.fetch` is the command `scitq-fetch`: its one door to the programs."""

from scitq.programs import fetch

fetch()
