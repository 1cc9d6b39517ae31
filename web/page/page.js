// The lists, kept up to date: whenever something has happened they are asked for again, at most once a second.

import { Away, follow, get, keepToken, Refused, takeToken } from "./api.js";
import { $, ago, button, element, local, meter, say, status, table } from "./show.js";
import * as task from "./task.js";

const PAGE = 50;
const EVERY_MS = 1_000;
const STATUSES = ["running", "accepted", "assigned", "pending", "waiting", "paused", "succeeded", "failed"];

let list = "tasks";
let chosen = ""; // status
let batch = "";
let pages = [""]; // behind which task each page up to the shown one begins
let next = null;
let batches = [];

// What is shown ------------------------------------------------------------------------------------------------

async function refresh() {
  const wanted = { tasks: showTasks, workers: showWorkers, batches: async () => {} }[list];
  await Promise.all([showBatches(), wanted(), task.isOpen() ? task.refresh() : null]);
  $("ask").hidden = true;
  $("main").hidden = false;
}

async function showTasks() {
  const asked = { limit: PAGE, reverse: true, status: chosen, batch, after: pages.at(-1) };
  const found = await get("/tasks/", asked);
  if (list !== "tasks") return;
  next = found.next;
  table("task-table", found.content, "task_id", taskCells, (one) => show(one.task_id));
  const nothing = found.content.length === 0;
  const filtered = chosen !== "" || batch !== "" || pages.length > 1;
  $("no-task").hidden = !nothing || filtered;
  $("no-match").hidden = !nothing || !filtered;
  document.querySelector(".pages").hidden = pages.length === 1 && next === null;
  $("newer").disabled = pages.length === 1;
  $("older").disabled = next === null;
}

function taskCells(one) {
  const text = one.command ?? "(erased)";
  return [
    [button(String(one.task_id), () => show(one.task_id)), "number"],
    [status(one.status)],
    [one.name ? `${one.name}: ${text}` : text, "text", text.slice(0, 500)],
    [one.batch, "wide soft name", one.batch ?? ""],
    [one.worker_id === null ? "" : String(one.worker_id), "wide soft"],
    [ago(one.status_date), "soft", local(one.status_date)],
  ];
}

async function showWorkers() {
  const { content } = await get("/workers/");
  $("no-worker").hidden = content.length > 0;
  table("worker-table", content, "worker_id", (one) => [
    [one.name, "name", one.hostname ?? one.name],
    [status(one.status)],
    [String(one.running), "number"],
    [String(one.assigned + one.accepted), "number wide"],
    [String(one.concurrency), "number"],
    [String(one.succeeded), "number wide"],
    [String(one.failed), "number wide"],
    [cpu(one), "wide machine"],
    [one.memory === null ? "" : meter(one.memory, `${one.memory} % of the memory, ${stats(one).swap} % of the swap`, "alarming"), "wide machine"],
    [one.batches.join(", "), "wide soft name", one.batches.join(", ")],
    [one.last_contact_date ? `${ago(one.last_contact_date)} ago` : "–", "soft", local(one.last_contact_date)],
  ]);
}

/** What its machine does: percent of its cores, and in words what else is known. */
function cpu(one) {
  if (one.load === null) return "";
  const { load, disk, network } = stats(one);
  const words = [
    `${one.load} % of the CPU (commands / waiting for disks)`,
    `load ${load}`,
    `disks ${disk?.speed} (read/written), ${disk?.usage?.map((used) => `${used} %`).join(", ") || "none"} full`,
    `network ${network?.speed} (sent/received)`,
  ];
  return meter(parseFloat(one.load), words.join("\n"));
}

function stats(one) {
  try {
    return JSON.parse(one.stats) ?? {};
  } catch {
    return {};
  }
}

async function showBatches() {
  batches = (await get("/batch/")).content;
  showCounts();
  if (list !== "batches") return;
  $("no-batch").hidden = batches.length > 0;
  table("batch-table", batches, "batch", (one) => [
    [button(one.batch + (one.stopped ? " (stopped)" : ""), () => onlyBatch(one.batch)), "name", one.batch],
    [bar(one), "fill"],
    [String(one.tasks), "number"],
    [String(one.running ?? 0), "number"],
    [String(one.failed ?? 0), "number"],
    [one.workers ?? "none", "wide soft name", one.workers ?? ""],
  ]);
}

function bar(one) {
  const made = element("div", "", { class: "bar" });
  const parts = ["succeeded", "failed", "running"].map((name) => [name, one[name] ?? 0]);
  made.title = parts.map(([name, count]) => `${count} ${name}`).join(", ") + `, of ${one.tasks}`;
  const rest = one.tasks - parts.reduce((sum, [, count]) => sum + count, 0);
  for (const [name, count] of [...parts, ["rest", rest]]) {
    const part = element("i");
    part.dataset.is = name;
    part.style.flexGrow = String(count);
    made.append(part);
  }
  return made;
}

function showCounts() {
  const counts = Object.fromEntries(STATUSES.map((name) => [name, 0]));
  for (const one of batches) {
    if (batch === "" || one.batch === batch) for (const name of STATUSES) counts[name] += one[name] ?? 0;
  }
  const all = STATUSES.reduce((sum, name) => sum + counts[name], 0);
  const chips = [["", "all", all], ...STATUSES.map((name) => [name, name, counts[name]])];
  const shown = chips.filter(([name, , count]) => name === "" || count > 0 || name === chosen);
  const focused = document.activeElement?.closest?.("#counts") ? document.activeElement.dataset.status : undefined;
  $("counts").replaceChildren(
    ...shown.map(([name, word, count]) => {
      const chip = button("", () => only(name));
      chip.dataset.status = name;
      chip.append(name === "" ? word : status(word), element("b", String(count)));
      chip.ariaPressed = String(name === chosen);
      return chip;
    }),
  );
  if (focused !== undefined) [...$("counts").children].find((chip) => chip.dataset.status === focused)?.focus();
  const parts = ["running", "pending", "failed"].filter((name) => counts[name] > 0);
  document.title = ["scitq", parts.map((name) => `${counts[name]} ${name}`).join(", ")].filter(Boolean).join(" · ");
  const names = batches.map((one) => one.batch);
  const select = $("batch");
  if ([...select.options].slice(1).map((one) => one.value).join("\n") !== names.join("\n")) {
    select.replaceChildren(new Option("all", ""), ...names.map((name) => new Option(name, name)));
  }
  select.value = batch;
}

// What is chosen -----------------------------------------------------------------------------------------------

function only(name) {
  chosen = name;
  pages = [""];
  soon(0);
}

function onlyBatch(name) {
  batch = name;
  pages = [""];
  turnTo("tasks");
}

function turnTo(name) {
  list = name;
  for (const one of document.querySelectorAll("[data-list]")) {
    if (one.dataset.list === name) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
    $(one.dataset.list).hidden = one.dataset.list !== name;
  }
  soon(0);
}

function show(id) {
  task.open(id).catch(failed);
}

for (const one of document.querySelectorAll("[data-list]")) one.addEventListener("click", () => turnTo(one.dataset.list));
$("batch").addEventListener("change", () => onlyBatch($("batch").value));
$("older").addEventListener("click", () => {
  if (next !== null) pages.push(next);
  soon(0);
});
$("newer").addEventListener("click", () => {
  if (pages.length > 1) pages.pop();
  soon(0);
});

// When ---------------------------------------------------------------------------------------------------------

let timer = null;
let due = 0; // when the timer fires
let last = 0; // when the last refresh began
let busy = false;
let again = false;

/** Refresh, but not sooner than a second after the last time, unless somebody is waiting for it. */
function soon(wait = EVERY_MS - (Date.now() - last)) {
  const at = Date.now() + Math.max(wait, 0);
  if (document.hidden && wait !== 0) {
    again = true;
    return;
  }
  if (timer !== null && due <= at) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(now, Math.max(wait, 0));
}

async function now() {
  timer = null;
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  again = false;
  last = Date.now();
  try {
    await refresh();
    connected(following);
  } catch (error) {
    failed(error);
  }
  busy = false;
  if (again) soon();
}

function failed(error) {
  if (error instanceof Refused && error.status === 401) askForToken(error.message);
  else if (error instanceof Away) connected(false);
  else {
    console.error(error);
    say(error.message);
  }
}

let following = false; // whether what happens is heard of at once

function heard(yes) {
  following = yes;
  connected(yes);
}

function connected(yes) {
  $("lost").hidden = yes || $("main").hidden;
  $("live").textContent = yes ? "live" : "not connected";
  $("live").classList.toggle("on", yes);
}

let known = false; // whether a token was tried here

function askForToken(message) {
  $("main").hidden = true;
  $("ask").hidden = false;
  $("live").textContent = "";
  if (known) $("ask-why").textContent = `${message}.`;
  $("token").focus();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  known = true;
  keepToken($("token").value.trim());
  $("token").value = "";
  begin();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && again) soon(0);
});
setInterval(() => {
  if (!document.hidden && !$("main").hidden && $("lost").hidden) soon(); // ages go on where nothing happens
}, 15_000);

async function begin() {
  try {
    await refresh();
    await follow(soon, heard);
  } catch (error) {
    failed(error);
    if (!(error instanceof Refused && error.status === 401)) setTimeout(begin, 2_000);
  }
}

takeToken();
begin();
