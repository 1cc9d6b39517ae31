"""The network between the parts of a server falls silent, in either direction or on and off, and heals by itself."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import miss
from tests.e2e.cuts import Cut, cuts, play
from tests.services.figures import note
from tests.services.namespaces import NamespacesMissing
from tests.services.postgres import PostgresMissing
from tests.services.rabbit_programs import RabbitMissing

EACH = 10 if os.environ.get("SCITQ_CAMPAIGN") else 0
SEED = int(os.environ.get("SCITQ_SEED", "1"))
LINKS = (("one", "broker"), ("one", "database"), ("field", "one"))
SHORT = [Cut("one", "database", 12), Cut("one", "broker", 4, "flapping"), Cut("field", "one", 3)]


@pytest.mark.parametrize("plan", [SHORT] if not EACH else [list(cuts(*link, EACH, SEED)) for link in LINKS])
def test_a_network_that_falls_silent_heals_by_itself(tmp_path: Path, plan: list[Cut]) -> None:
    try:
        healed = play(tmp_path, plan)
    except (NamespacesMissing, PostgresMissing, RabbitMissing) as reason:
        miss(str(reason))
    times = [seconds for _, seconds in healed]
    link = f"{plan[0].one}–{plan[0].other}" if EACH else "several"
    note(f"{link} cut {len(healed)} times: healed in {median(times):.1f} s, at most {max(times):.1f} s")
    for cut, seconds in healed:
        note(f"  {cut}: {seconds:.1f} s")
