"""How fast it is: each file prints a small table of its own (`python -m bench.append`)."""
