"""`python -m scitq.config > docs/parameters.md` writes the page of the settings from their declarations."""

import sys

from scitq.config.page import page

sys.stdout.write(page())
