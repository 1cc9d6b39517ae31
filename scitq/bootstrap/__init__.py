"""Puts the pieces together: the only place that knows every concrete class."""
