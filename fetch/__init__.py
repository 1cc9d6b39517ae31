"""Moving data between URIs; usable alone on a bare machine."""
