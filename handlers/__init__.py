"""The engine, its pure reactors, and the handlers that touch the world."""
