"""The real services that tests start themselves."""
