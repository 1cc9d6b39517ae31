"""What happened at the agents: the reports by which a task starts and ends."""

from __future__ import annotations

from scitq.domain.engine_log import ReportFailed
from scitq.domain.envelope import Mark
from scitq.domain.execution import ExecutionGone, Exited, Failed, Gone, Report, Succeeded
from scitq.domain.messages import Applied, Reports, Resend
from scitq.errors import Rejected
from scitq.handlers.actions import OnExecution
from scitq.handlers.agents import heard, known_worker
from scitq.handlers.overlay import Overlay, Stumbled


def take_reports(turn: Overlay, message: Reports) -> None:
    """What happened at an agent, in its own order: what comes early is held, what comes again changes nothing."""
    worker = known_worker(turn, message.worker, message.incarnation)
    if worker is None:
        return
    contact = heard(turn, worker)
    due = contact.in_order(message.first, message.floor, message.reports)
    contact.pace.note(sum(isinstance(report, Exited | Succeeded | Failed) for _, report in due), turn.at.steady)
    for number, report in due:
        turn.on_behalf(f"worker:{worker.id}", mark=Mark(worker.id, worker.incarnation, number))
        try:
            turn.whole(_take_report, turn, worker.id, report)
        except (Rejected, Stumbled) as error:
            turn.record(ReportFailed(worker.id, number, repr(report)[:1000], str(error)))
    turn.on_behalf("engine")
    turn.say(worker.id, Applied(contact.applied))
    if contact.ahead:
        turn.say(worker.id, Resend(contact.applied + 1))


def _take_report(turn: Overlay, worker: int, report: Report) -> None:
    if isinstance(report, Gone):
        if turn.loaded.holders.get(report.execution) == (worker, report.task) and turn.task(report.task) is not None:
            turn.record(ExecutionGone(report.task, report.execution))
        return
    execution = turn.state.executions.get(report.execution)
    if execution is not None and execution.worker == worker:
        turn.do(OnExecution(report.execution, report))
