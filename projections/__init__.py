"""Read models: every table people look at, each a fold of the events."""
