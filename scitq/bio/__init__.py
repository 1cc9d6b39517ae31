"""What biologists ask of scitq and nobody else does."""
