// One task: what it is, its executions, what they print while they print it, and what can be done with it.

import { get, output, post } from "./api.js";
import * as live from "./moment.js";
import { $, button, element, length, local, moment, say, size, status, sure, table } from "./show.js";

const TAIL_BYTES = 65_536;
const MOST_CHARS = 400_000;
const ENDED = ["succeeded", "failed"];

let task = null; // what is shown
let execution = null;
let stream = "stdout";
let reading = null; // stops the output that is being read

export function isOpen() {
  return task !== null;
}

export async function open(id) {
  task = { task_id: id };
  execution = null;
  stream = "stdout";
  await refresh();
  if (task !== null && !$("task").open) $("task").showModal();
}

export async function refresh() {
  const id = task.task_id;
  const [shown, runs] = await Promise.all([
    get("/tasks/", { task_id: id }),
    get("/executions/", { task_id: id, no_output: true, reverse: true, limit: 50 }),
  ]);
  if (task === null || task.task_id !== id) return;
  if (shown.content.length === 0) {
    say(`Task ${id} is not there any more.`);
    close();
    return;
  }
  task = shown.content[0];
  showFacts();
  showExecutions(runs.content);
}

function showFacts() {
  $("task-title").replaceChildren(`Task ${task.task_id} `, status(task.status));
  $("task-command").textContent = task.command ?? "(erased)";
  const facts = [
    ["Name", task.name],
    ["Batch", task.batch],
    ["Created", local(task.creation_date)],
    ["Retries left", task.retry || null],
    ["Requires", task.required_task_ids.join(", ")],
    ["Held up", task.blocked_by.join("; ")],
    ["Container", task.container],
    ["Input", task.input],
    ["Resource", task.resource],
    ["Output to", task.output],
  ];
  const given = facts.filter(([, value]) => value !== null && value !== "");
  $("task-facts").replaceChildren(...given.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  const ended = ENDED.includes(task.status);
  const possible = {
    pause: !ended && task.status !== "paused",
    resume: task.status === "paused",
    relaunch: ended,
    kill: task.status === "running",
    delete: true,
  };
  for (const one of document.querySelectorAll("[data-action]")) one.disabled = !possible[one.dataset.action];
}

function showExecutions(runs) {
  $("no-execution").hidden = runs.length > 0;
  table("execution-table", runs, "execution_id", executionCells, (one) => choose(one.execution_id));
  if (execution === null && runs.length > 0) choose(runs[0].execution_id);
  else if (runs.length > 0 && runs[0].execution_id > execution && runs[0].latest && watching === "latest") {
    choose(runs[0].execution_id);
  }
  $("output").hidden = runs.length === 0;
  const now = runs.find((one) => one.execution_id === execution);
  if (now) live.show(execution, now.ended_date !== null);
  mark();
}

function executionCells(one) {
  const until = one.ended_date ? moment(one.ended_date) : new Date();
  const took = one.started_date ? length((until - moment(one.started_date)) / 1000) : "–";
  const end = one.reason ?? (one.return_code === null ? "" : `return code ${one.return_code}`);
  return [
    [button(String(one.execution_id), () => choose(one.execution_id)), "number"],
    [status(one.status)],
    [String(one.worker_id), "number wide soft"],
    [took, "soft", used(one)],
    [end, "text", end],
  ];
}

function used(one) {
  if (one.cpu_s === null) return "";
  const disks = `${size(one.read_bytes ?? 0)} read from disks, ${size(one.written_bytes ?? 0)} written`;
  return `${one.cpu_s.toFixed(1)} s of CPU, at most ${size(one.memory_bytes ?? 0)} of memory, ${disks}`;
}

let watching = "latest"; // a new attempt is shown by itself, unless an older one was chosen

function choose(id) {
  const newest = $("execution-table").tBodies[0].rows[0];
  watching = newest && Number(newest.dataset.key) === id ? "latest" : "chosen";
  if (id === execution && reading) return;
  execution = id;
  const one = [...$("execution-table").tBodies[0].rows].find((row) => Number(row.dataset.key) === id)?.item;
  live.show(id, one?.ended_date != null);
  mark();
  read();
}

function mark() {
  for (const row of $("execution-table").tBodies[0].rows) row.ariaSelected = String(Number(row.dataset.key) === execution);
  for (const one of document.querySelectorAll("[data-stream]")) one.ariaPressed = String(one.dataset.stream === stream);
}

async function read() {
  reading?.abort();
  const mine = (reading = new AbortController());
  const shown = $("output-text");
  const note = $("output-note");
  shown.textContent = "";
  note.textContent = "Waiting for the first line…";
  try {
    await output(execution, stream, TAIL_BYTES, mine.signal, (text) => {
      const atEnd = shown.scrollHeight - shown.scrollTop - shown.clientHeight < 30;
      const all = shown.textContent + text;
      shown.textContent = all.length > MOST_CHARS ? all.slice(-MOST_CHARS) : all;
      note.textContent = "Live. The end of the output is shown.";
      if (atEnd) shown.scrollTop = shown.scrollHeight;
    });
    note.textContent = shown.textContent === "" ? "It has printed nothing." : "That is its end.";
  } catch (error) {
    if (mine.signal.aborted) return;
    note.textContent = `The output cannot be read: ${error.message}`;
    reading = null; // it is tried again with the next change
  }
}

async function act(action) {
  const id = task.task_id;
  const questions = {
    pause: [`Pause task ${id}? If it runs, it is held still.`, "Pause"],
    resume: [`Let task ${id} go on?`, "Resume"],
    relaunch: [`Run task ${id} again from the beginning?`, "Relaunch"],
    kill: [`Kill the running command of task ${id}?`, "Kill"],
    delete: [`Delete task ${id}, and end it if it runs?`, "Delete"],
  };
  if (!(await sure(...questions[action]))) return;
  try {
    if (action === "kill") {
      await post(`/executions/${task.execution_id}/signals`, { signal: 9 });
      say(`Task ${id} is being killed.`);
      return;
    }
    const answer = await post("/tasks/actions", { action, task_ids: [id] });
    const refused = answer.refused?.[id];
    say(refused ?? `Task ${id}: ${{ pause: "paused", resume: "resumed", relaunch: "launched again", delete: "deleted" }[action]}.`);
    if (action === "delete" && !refused) close();
    else await refresh();
  } catch (error) {
    say(error.message);
  }
}

function close() {
  task = null;
  execution = null;
  reading?.abort();
  reading = null;
  live.hide();
  if ($("task").open) $("task").close();
}

$("close").addEventListener("click", close);
$("task").addEventListener("close", close);
$("task").addEventListener("click", (event) => {
  if (event.target === $("task")) close(); // beside it
});
for (const one of document.querySelectorAll("[data-action]")) one.addEventListener("click", () => act(one.dataset.action));
for (const one of document.querySelectorAll("[data-stream]")) {
  one.addEventListener("click", () => {
    stream = one.dataset.stream;
    mark();
    read();
  });
}
