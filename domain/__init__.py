"""Commands, events and states: what scitq decides, free of I/O, clock and chance."""
