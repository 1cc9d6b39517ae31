"""The commands people type; each a thin call of the library."""
