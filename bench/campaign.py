"""The long fault campaign: `make campaign`. Its table, with date and machine, is written to `bench/results/`.

simulation    100,000 seeds that were never played before; every mutant
PostgreSQL    killed -9 twenty times under load
tampering     more seeds of the same test
cluster       the leader of the queues killed -9 among three brokers; 100,000 messages put aside
RabbitMQ 4    with --rabbitmq FOLDER: the bus, its faults and the cluster once more on the release in that folder; it
              is made there if need be (tests/services/rabbitmq4.sh)
network       broker, database and agents cut off ten times each, for a second to a minute and a half
shortage      alarms of the broker; a database out of connections, slow, locked, read-only, full, killed
sparse        a file of 5 GB that is nearly all holes: copied here, cut in the middle of FTP, to a store and back
life          server and worker killed -9 twenty times each during 300 tasks; a cable cut for two minutes; 200 MB
away          a server that clients cannot reach for ten minutes, in each of five ways: how often they ask it, and what
              becomes of what they have sent
real          on RabbitMQ and PostgreSQL, each part in a process of its own: each killed -9 twenty times during 500
              tasks, the broker wiped clean as often, the power cut; how long nobody leads

`--only life` leaves the simulation out, `--only real` everything but the last, `--only away` runs that alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.progress import Progress, TextColumn, TimeRemainingColumn

from bench.simulation import mutants
from tests.simulation.many import Search, search

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(tempfile.gettempdir()) / f"scitq-figures-{os.getpid()}"
"""What the tests measured and did not judge (`tests/services/figures.py`)."""
AT_ONCE = 2_000
SUITES = (
    ("PostgreSQL killed -9 under load", "20 times", "tests/e2e/test_postgres_killed.py"),
    ("tampering", "1,000 changes", "tests/unit/store/test_tampering.py"),
    ("server and worker killed -9 during 300 tasks", "20 times each", "tests/e2e/test_killed.py"),
    ("a cable cut between two machines", "2 minutes", "tests/e2e/test_two_hosts.py"),
    ("a task that prints 200 MB", "once", "tests/e2e/test_flood.py"),
    ("broker, database, agents cut off", "10 times each", "tests/e2e/test_partitions.py"),
    ("broker and database short of something", "a minute of load each", "tests/e2e/test_short_of.py"),
    ("a sparse file of 5 GB, copied, sent, fetched", "once", "tests/e2e/test_fetch_sparse.py"),
)
"""Parts of the test suite that do more when they are asked to."""
AWAY = (("a server away from its clients", "10 minutes, in five ways at once", "tests/e2e/test_library_away.py"),)
BROKER = (
    ("the bus over RabbitMQ", "once", "tests/contract/test_bus.py"),
    ("100,000 messages put aside", "once", "tests/contract/test_bus_parked.py"),
    ("a broker killed -9, wiped, frozen, full", "20 times", "tests/e2e/test_rabbit_faults.py"),
    ("the leader among three brokers killed -9", "3 times, with and without tasks", "tests/e2e/test_rabbit_cluster.py"),
)
KILLS = "tests/e2e/test_real_kills.py::test_"
REAL = (
    *(
        (
            f"{kind} during 500 tasks",
            "20 times",
            f"{KILLS}one_part_is_killed_again_and_again_and_it_costs_nothing[{name}]",
        )
        for kind, name in (
            ("the leading engine killed -9", "engine"),
            ("the web killed -9", "web"),
            ("the projections killed -9", "projections"),
            ("one of two agents killed -9", "agent"),
            ("PostgreSQL stopped at once (SIGQUIT)", "stopped database"),
            ("RabbitMQ killed -9", "broker"),
            ("PostgreSQL killed -9", "database"),
            ("RabbitMQ killed -9 and wiped clean", "wiped broker"),
        )
    ),
    (
        "all of these in any order during 500 tasks",
        "5 times each",
        f"{KILLS}every_part_is_killed_in_any_order_and_it_costs_nothing",
    ),
    (
        "the power cut, all started in any order",
        "5 times",
        f"{KILLS}when_the_power_fails_everything_starts_again_in_any_order",
    ),
    (
        "the projections killed -9 in a rebuild",
        "5 times",
        f"{KILLS}projections_killed_while_one_is_folded_anew_follow_the_log_again",
    ),
    ("take-over from a killed engine", "5 times", f"{KILLS}a_killed_engine_is_replaced_within_five_seconds"),
    (
        "take-over from a frozen engine",
        "5 times",
        f"{KILLS}a_frozen_engine_is_replaced_and_refused_when_it_wakes_and_then_stands_by",
    ),
)
MAKE_ROOT = Path(__file__).parents[1] / "tests" / "services" / "rabbitmq4.sh"


def simulate(first: int, seeds: int) -> Search:
    """Many seeds, with a bar that says how far it is."""
    whole = Search()
    with Progress(
        *Progress.get_default_columns(), TextColumn("{task.fields[rate]:.0f} seeds/s"), TimeRemainingColumn()
    ) as bar:
        task = bar.add_task("simulation", total=seeds, rate=0.0)
        for start in range(first, first + seeds, AT_ONCE):
            part = search(start, min(AT_ONCE, first + seeds - start))
            whole.played += part.played
            whole.seconds += part.seconds
            whole.failures.update(part.failures)
            bar.update(task, advance=part.played, rate=whole.rate)
    return whole


def suite(path: str, **settings: str) -> tuple[bool, str]:
    """A part of the test suite, with more of it asked for; whether it passed, and its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", path],
        env={**os.environ, "SCITQ_FIGURES": str(FIGURES), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-5_000:], file=sys.stderr)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return done.returncode == 0, lines[-1] if lines else done.stderr.strip()[-200:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100_000)
    parser.add_argument(
        "--first", type=int, default=int(time.time()) * 1_000, help="the first seed; new ones each second"
    )
    parser.add_argument("--only", choices=["life", "real", "away"], help="leave the rest out")
    parser.add_argument("--rabbitmq", metavar="FOLDER", help="run the parts about the broker on RabbitMQ 4 too")
    arguments = parser.parse_args()
    began = datetime.now(UTC)

    runs = simulate(arguments.first, arguments.seeds) if arguments.only is None else Search()
    noticed = mutants() if arguments.only is None else {}
    unnoticed = [name for name, seeds in noticed.items() if not seeds]
    parts = {
        None: (*SUITES, *AWAY, *BROKER, *REAL),
        "life": (*SUITES, *AWAY, *BROKER),
        "real": REAL,
        "away": AWAY,
    }[arguments.only]
    said = [(what, much, *suite(path, SCITQ_CAMPAIGN="20")) for what, much, path in parts]
    if arguments.rabbitmq is not None:
        root = os.path.abspath(arguments.rabbitmq)
        subprocess.run([MAKE_ROOT, root], check=True)
        on_4 = {"SCITQ_CAMPAIGN": "20", "SCITQ_TEST_RABBITMQ": root}
        said += [(f"RabbitMQ 4: {what}", much, *suite(path, **on_4)) for what, much, path in BROKER]

    last = arguments.first + runs.played - 1
    memory = psutil.virtual_memory().total / 2**30
    rows = [
        ("simulation", f"seeds {arguments.first} to {last}", f"{len(runs.failures)} failed, {runs.rate:.0f} a second")
    ] * bool(runs.played)
    rows += [
        (f"mutant: {name}", "500 seeds", f"noticed after {n}" if n else "NOT NOTICED") for name, n in noticed.items()
    ]
    rows += [(what, much, words if passed else f"FAILED: {words}") for what, much, passed, words in said]
    lines = [
        f"# Fault campaign of {began:%Y-%m-%d}",
        "",
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {sys.version.split()[0]}; "
        f"it took {(datetime.now(UTC) - began).total_seconds() / 60:.0f} minutes.",
        "",
        "| what | how much | outcome |",
        "|---|---|---|",
        *(f"| {what} | {much} | {outcome} |" for what, much, outcome in rows),
        "",
    ]
    if FIGURES.exists():
        lines += ["```", FIGURES.read_text().rstrip(), "```", ""]
        FIGURES.unlink()
    if runs.failures:
        lines += ["```", runs.words(), "```", ""]
    RESULTS.mkdir(exist_ok=True)
    kind = "campaign" if arguments.only is None else f"campaign-{arguments.only}"
    file = RESULTS / f"{began:%Y-%m-%d}-{kind}.md"
    file.write_text("\n".join(lines))
    print("\n".join(lines))
    return 0 if not (runs.failures or unnoticed) and all(passed for _, _, passed, _ in said) else 1


if __name__ == "__main__":
    sys.exit(main())
