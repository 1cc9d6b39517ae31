"""Where workers come from: one provider per file."""
