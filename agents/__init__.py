"""What runs on a worker: spool, executors, transfers, output."""
