"""REST, live feed, screens and the gateway of the workers."""
