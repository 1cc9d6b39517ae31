"""What must hold in every run, whatever went wrong. Written before the code they judge; each says what it saw.

They read the log with a little bookkeeping of their own, so that a mistake in the domain's own fold cannot hide itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from scitq.domain import engine_log
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.envelope import read_header
from scitq.domain.state import State
from scitq.errors import Corrupt
from scitq.handlers.asking_back import REASONS
from scitq.handlers.rests import FIRST_REST_S
from scitq.store.chain import verify
from tests.simulation.kernel import SECOND

if TYPE_CHECKING:
    from tests.simulation.run import Run

Finding = Iterator[str]


def the_chain_verifies(run: Run) -> Finding:
    try:
        verify(run.world.journal.log)
    except Corrupt as error:
        yield str(error)


def epochs_never_go_back(run: Run) -> Finding:
    latest = 0
    for envelope in run.world.journal.log:
        epoch = read_header(envelope.header).epoch
        if epoch < latest:
            yield f"event {envelope.position} of epoch {epoch} stands behind one of epoch {latest}"
        latest = epoch


_GOES_ON = (
    (ex.ExecutionAccepted | ex.ExecutionReady | ex.ExecutionStarted | ex.ExecutionExited)
    | (ex.ExecutionSignalled | ex.ExecutionSignalDelivered)
)  # fmt: skip


def at_most_one_execution_is_current(run: Run) -> Finding:
    current: dict[int, int] = {}
    latest: dict[int, int] = {}
    for recorded in run.log:
        event = recorded.event
        if isinstance(event, ex.ExecutionAssigned | ex.ExecutionRecovered):
            if event.task in current:
                yield f"event {recorded.position}: task {event.task} has execution {current[event.task]} already"
            if isinstance(event, ex.ExecutionRecovered) and latest.get(event.task) != event.execution:
                yield f"event {recorded.position}: execution {event.execution} came back after another was assigned"
            current[event.task] = latest[event.task] = event.execution
        elif isinstance(event, ex.ExecutionEvent) and not isinstance(event, ex.ExecutionGone):
            if current.get(event.task) != event.execution:
                yield f"event {recorded.position}: execution {event.execution} of task {event.task} is not current"
            if not isinstance(event, _GOES_ON):
                current.pop(event.task, None)


def no_execution_starts_twice(run: Run) -> Finding:
    for execution, starts in run.world.starts.items():
        if starts > 1:
            yield f"execution {execution} physically started {starts} times"


def results_are_true(run: Run) -> Finding:
    """A result in the log is what physically happened to that very execution."""
    for recorded in run.log:
        event = recorded.event
        if isinstance(event, ex.ExecutionSucceeded) and run.world.codes.get(event.execution) != 0:
            was = run.world.codes.get(event.execution)
            yield f"event {recorded.position}: execution {event.execution} ended with {was}, not 0"
        if isinstance(event, ex.ExecutionFailed) and event.return_code is not None:
            was = run.world.codes.get(event.execution)
            if was != event.return_code:
                yield f"event {recorded.position}: execution {event.execution} ended with {was}"


def no_result_is_thrown_away(run: Run) -> Finding:
    """What a worker gives back had not come to its end there; and what it was asked for, it never began."""
    for recorded in run.log:
        event = recorded.event
        if not isinstance(event, ex.ExecutionRefused):
            continue
        if event.execution in run.world.codes:
            code = run.world.codes[event.execution]
            yield f"event {recorded.position}: execution {event.execution} had ended with {code}"
        elif event.reason in REASONS and run.world.starts.get(event.execution):
            yield f"event {recorded.position}: execution {event.execution} was given back, and begun as well"


def agents_are_told_what_to_run(run: Run) -> Finding:
    """With each assignment come the texts of the task as they then are."""
    command: dict[int, str] = {}
    assigned: dict[int, str] = {}
    for recorded in run.log:
        event = recorded.event
        match event:
            case tasks.TaskCreated():
                command[event.task] = event.command
            case tasks.TaskEdited() if "command" in event.changes:
                command[event.task] = event.changes["command"]
            case ex.ExecutionAssigned():
                assigned[event.execution] = command[event.task]
            case _:
                pass
    for given in run.everything_given():
        told = (given.texts or {}).get("command")
        if given.execution in run.world.starts and told != assigned[given.execution]:
            yield f"execution {given.execution} is to run {assigned[given.execution]!r}, its agent was told {told!r}"


def nothing_runs_that_the_log_does_not_give(run: Run) -> Finding:
    """At the end, each machine that is there has heard of all that was taken back."""
    if run.quiet:
        for host in run.hosts_there():
            for execution in host.running():
                yield f"{host.name} still runs execution {execution}"


def outputs_are_stored_with_leave_only(run: Run) -> Finding:
    """Nobody begins to store outputs before it is a fact that the command ended and that its worker may."""
    since: dict[int, int] = {}
    for recorded in run.log:
        if isinstance(recorded.event, ex.ExecutionExited):
            since.setdefault(recorded.event.execution, run.world.appended_at[recorded.position - 1])
    for execution, at in run.world.sendings:
        if execution not in since or at < since[execution]:
            yield f"execution {execution} began to store its outputs at {at / SECOND:.1f} s without leave"


def what_succeeded_has_stored_its_outputs(run: Run) -> Finding:
    """An attempt that has outputs succeeds with their storing, and ran to its end before."""
    exited: set[int] = set()
    for recorded in run.log:
        match recorded.event:
            case ex.ExecutionExited(_, execution):
                exited.add(execution)
            case ex.ExecutionSucceeded(_, execution) if execution in exited and execution not in run.world.stored:
                yield f"event {recorded.position}: the outputs of execution {execution} were never stored"
            case _:
                pass


def what_was_taken_back_is_seen_to_be_gone(run: Run) -> Finding:
    """Of an attempt that ran and was taken back it may be said that nothing of it runs: not before, and once."""
    taken_back: set[int] = set()
    for recorded in run.log:
        match recorded.event:
            case (
                ex.ExecutionCancelled(_, execution) | ex.ExecutionLost(_, execution) | ex.ExecutionFailed(_, execution)
            ):
                taken_back.add(execution)
            case ex.ExecutionGone(_, execution):
                if execution not in taken_back or execution not in run.world.starts:
                    yield f"event {recorded.position}: execution {execution} was not taken back, or never ran"
                if any(execution in host.running() for host in run.hosts_there()):
                    yield f"event {recorded.position}: execution {execution} still runs"
                taken_back.discard(execution)
            case _:
                pass


def nothing_times_out_early(run: Run) -> Finding:
    """What is ended for taking too long did physically run for longer than its task allows."""
    limit: dict[int, int | None] = {}
    for recorded in run.log:
        event, at = recorded.event, run.world.appended_at[recorded.position - 1]
        match event:
            case tasks.TaskCreated() | tasks.TaskRelaunched():
                limit[event.task] = event.run_timeout_s
            case ex.ExecutionFailed(reason=str(reason)) if reason.startswith("ran for more than"):
                ran, allowed = at - run.world.started_at[event.execution], limit[event.task]
                if allowed is None or ran < allowed * SECOND:
                    yield f"event {recorded.position}: it ran for {ran / SECOND:.1f} s, {allowed} s are allowed"
            case _:
                pass


def requirements_come_first(run: Run) -> Finding:
    """A task is assigned only after what it requires has succeeded, or somebody let it go without."""
    requires: dict[int, tuple[int, ...]] = {}
    succeeded: set[int] = set()
    for recorded in run.log:
        event = recorded.event
        match event:
            case tasks.TaskCreated() | tasks.TaskRequirementsChanged():
                requires[event.task] = event.requires
            case tasks.TaskReleased(by_hand=True) | tasks.TaskRelaunched():
                requires[event.task] = ()
            case ex.ExecutionSucceeded():
                succeeded.add(event.task)
            case ex.ExecutionAssigned():
                early = set(requires.get(event.task, ())) - succeeded
                if early:
                    yield f"event {recorded.position}: task {event.task} is assigned before {sorted(early)} succeeded"
            case _:
                pass


def retries_are_spent_on_failures_only(run: Run) -> Finding:
    """As many attempts fail as the task has retries, plus one; never fewer, whatever else happened to it."""
    left: dict[int, int] = {}
    granted: dict[int, int] = {}
    for recorded in run.log:
        event = recorded.event
        match event:
            case tasks.TaskCreated():
                left[event.task] = granted[event.task] = event.retry
            case tasks.TaskRelaunched():
                left[event.task] = granted.get(event.task, event.retry)
            case tasks.TaskRetried():
                left[event.task] -= 1
                if event.retry != left[event.task]:
                    yield f"event {recorded.position}: task {event.task} has {event.retry} retries left, not {left}"
            case ex.ExecutionFailed():
                following = run.log[recorded.position] if recorded.position < len(run.log) else None
                retried = following is not None and isinstance(following.event, tasks.TaskRetried)
                if left.get(event.task, 0) > 0 and not retried:
                    yield f"event {recorded.position}: task {event.task} failed with retries left and was not queued"
                blameless = event.return_code is None and event.failure not in ("download_failed", "run_timeout")
                if blameless and event.reason is not None:
                    yield f"event {recorded.position}: a retry was spent on: {event.reason}"
            case _:
                pass


def workers_hold_no_more_than_they_may(run: Run) -> Finding:
    """When something is assigned: the worker is there and going, serves the batch, which goes, and has room."""
    state = State()
    for recorded in run.log:
        event = recorded.event
        if isinstance(event, ex.ExecutionAssigned):
            worker = state.workers.get(event.worker)
            if worker is None or worker.paused or worker.contact != "online":
                yield f"event {recorded.position}: worker {event.worker} takes no work"
            elif event.batch not in worker.batches:
                yield f"event {recorded.position}: worker {event.worker} does not serve batch {event.batch}"
            elif state.load(worker) >= worker.concurrency + worker.prefetch:
                yield f"event {recorded.position}: worker {event.worker} is full"
            if state.batch(event.batch).stopped:
                yield f"event {recorded.position}: batch {event.batch} is stopped"
        if isinstance(event, workers.WorkerDeclared) and event.name in state.names:
            yield f"event {recorded.position}: there are two workers named {event.name}"
        state.apply(recorded)


def nobody_is_called_silent_too_soon(run: Run) -> Finding:
    """Every worker has 30 s from the time an engine took over."""
    taken_over = 0
    for recorded in run.log:
        at = run.world.appended_at[recorded.position - 1]
        if isinstance(recorded.event, engine_log.EngineStarted):
            taken_over = at
        if isinstance(recorded.event, workers.WorkerWentOffline | workers.WorkerLost) and at - taken_over < 29 * SECOND:
            yield f"event {recorded.position}: {(at - taken_over) / SECOND:.1f} s after the take-over"


def commands_have_one_effect_and_one_answer(run: Run) -> Finding:
    """What a user was told is in the log, once."""
    for user in run.users:
        for id, replies in user.answers.items():
            told = {answer for answer, _ in replies if answer is not None}
            if len(told) > 1:
                yield f"request {id} was answered in {len(told)} ways"
            stored = run.world.journal.answers([id]).get(id)
            if told and (stored is None or stored.answer not in told):
                yield f"request {id} was answered, but the log does not know it"
    firsts = {answer.first for answer in run.world.journal.answers(run.requests()).values()}
    for recorded in run.log:
        if recorded.command and recorded.command not in firsts:
            yield f"event {recorded.position} is of a command that nobody was answered"
    asked = sum(user.tasks_asked_for() for user in run.submitters)
    created = sum(isinstance(recorded.event, tasks.TaskCreated) for recorded in run.log)
    if created > asked:
        yield f"{created} tasks were created, {asked} were asked for"


def refusals_are_not_kept(run: Run) -> Finding:
    if run.quiet and run.may_insist() and not run.insister.granted:
        yield "what was refused once was never granted, though nothing spoke against it any more"


def who_cannot_run_a_task_is_left_alone_for_a_while(run: Run) -> Finding:
    """No worker is given a task that it just said it cannot run, unless the task was changed or relaunched."""
    said: dict[tuple[int, int], int] = {}
    for recorded in run.log:
        match recorded.event:
            case ex.ExecutionRefused(task, _, _, unable) if unable:
                said[task, unable] = run.world.appended_at[recorded.position - 1]
            case ex.ExecutionAssigned(task, execution, worker) if (task, worker) in said:
                after = run.world.appended_at[recorded.position - 1] - said.pop((task, worker))
                if after < FIRST_REST_S * SECOND:
                    yield f"execution {execution} went to worker {worker}, unable {after / SECOND:.1f} s before"
            case tasks.TaskEdited(task) | tasks.TaskRelaunched(task):
                said = {key: at for key, at in said.items() if key[0] != task}
            case _:
                pass


def the_engine_never_stumbled(run: Run) -> Finding:
    """No input of a simulation is poison, so nothing may have been recorded as such."""
    stumbles = engine_log.CommandFailed | engine_log.ReportFailed | engine_log.ReactorFailed
    for recorded in run.log:
        if isinstance(recorded.event, stumbles):
            yield f"event {recorded.position}: {recorded.event}"


def the_leader_is_a_fold_of_the_log(run: Run) -> Finding:
    """What an engine decided on is what anybody finds who folds the log."""
    rebuilt = State().fold(run.reread()).facts()
    for actor in run.engines:
        if actor.engine is None or not actor.engine.state.settled or actor.engine.state.position != len(run.log):
            continue
        live = actor.engine.state.facts()
        for name in rebuilt:
            if live[name] != rebuilt[name]:
                yield f"{actor.name} has {name} {live[name]}, the log says {rebuilt[name]}"


def projections_equal_their_rebuild(run: Run) -> Finding:
    for projector in run.projectors:
        live = projector.rows
        projector.catch_up()
        rebuilt = projector.projection.empty()
        projector.projection.fold(rebuilt, run.reread())
        if not run.same_rows(live, rebuilt):
            yield f"projection {projector.projection.name} differs from its rebuild"


def everything_ends(run: Run) -> Finding:
    """Once nothing goes wrong any more, all work ends, and every user has an answer."""
    if run.quiet:
        return
    state = State().fold(run.log)
    left = [f"task {t.id} {t.status} (execution {t.execution})" for t in state.tasks.values() if not t.ended]
    yield f"after {run.world.kernel.now / SECOND:.0f} s there is left: {', '.join(left) or 'an unanswered user'}"


INVARIANTS: dict[str, Callable[[Any], Finding]] = {
    check.__name__: check
    for check in (
        the_chain_verifies,
        epochs_never_go_back,
        at_most_one_execution_is_current,
        no_execution_starts_twice,
        results_are_true,
        no_result_is_thrown_away,
        agents_are_told_what_to_run,
        nothing_runs_that_the_log_does_not_give,
        nothing_times_out_early,
        outputs_are_stored_with_leave_only,
        what_succeeded_has_stored_its_outputs,
        what_was_taken_back_is_seen_to_be_gone,
        requirements_come_first,
        retries_are_spent_on_failures_only,
        workers_hold_no_more_than_they_may,
        nobody_is_called_silent_too_soon,
        commands_have_one_effect_and_one_answer,
        refusals_are_not_kept,
        who_cannot_run_a_task_is_left_alone_for_a_while,
        the_engine_never_stumbled,
        the_leader_is_a_fold_of_the_log,
        projections_equal_their_rebuild,
        everything_ends,
    )
}
