"""The event store: the append-only log, its snapshots, the output log and their migrations."""
