"""What tests measure and do not judge: lines for whoever runs the campaign, in the file that SCITQ_FIGURES names."""

from __future__ import annotations

import os


def note(line: str) -> None:
    """Where nobody asked for figures, nothing."""
    if path := os.environ.get("SCITQ_FIGURES"):
        with open(path, "a") as file:
            print(line, file=file)
