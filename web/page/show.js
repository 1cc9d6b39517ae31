// Small things that put data into the page. Text only ever goes in as text.

export const $ = (id) => document.getElementById(id);

export function element(name, content = "", options = {}) {
  const made = document.createElement(name);
  if (content instanceof Node) made.append(content);
  else made.textContent = content ?? "";
  if (options.class) made.className = options.class;
  if (options.title) made.title = options.title;
  return made;
}

export function status(word) {
  const made = element("span", word, { class: "status" });
  made.dataset.is = word;
  return made;
}

export function button(text, pressed) {
  const made = element("button", text);
  made.type = "button";
  made.addEventListener("click", pressed);
  return made;
}

/**
 * Brings a table up to date, row by row: rows that stay keep the focus and the selection they have.
 * `cells(item)` gives what is in each cell: [content, class, title], and only what differs is touched.
 */
export function table(id, items, key, cells, pressed) {
  const body = $(id).tBodies[0];
  const rows = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let before = null;
  for (const item of items) {
    const name = String(item[key]);
    let row = rows.get(name);
    rows.delete(name);
    if (!row) {
      row = document.createElement("tr");
      row.dataset.key = name;
      if (pressed) row.addEventListener("click", (event) => event.target.closest("button") || pressed(row.item));
    }
    row.item = item;
    fill(row, cells(item));
    const place = before ? before.nextSibling : body.firstChild;
    if (row !== place) body.insertBefore(row, place);
    before = row;
  }
  for (const row of rows.values()) row.remove();
  $(id).hidden = items.length === 0;
}

function fill(row, cells) {
  while (row.cells.length > cells.length) row.deleteCell(-1);
  cells.forEach(([content, kind = "", title = ""], at) => {
    const cell = row.cells[at] || row.insertCell();
    const made = element("td", content ?? "", { class: kind, title });
    if (cell.isEqualNode(made)) return;
    if (cell.contains(document.activeElement)) cell.firstChild.textContent = made.textContent;
    else cell.replaceWith(made);
  });
}

/** How full something is, in percent. `kind` makes what is nearly full stand out. */
export function meter(percent, words, kind = "") {
  const made = element("div", "", { class: `bar ${kind}`, title: words });
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", words);
  const [full, rest] = [element("i"), element("i")];
  const within = Math.min(Math.max(percent, 0), 100);
  full.dataset.is = kind !== "" && within >= 90 ? "failed" : "running";
  rest.dataset.is = "rest";
  full.style.flexGrow = String(within);
  rest.style.flexGrow = String(100 - within);
  made.append(full, rest);
  return made;
}

export function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

/** A date of the server, which is UTC and does not say so. */
export function moment(text) {
  return text ? new Date(`${text}Z`) : null;
}

export function ago(text) {
  const then = moment(text);
  return then ? length((Date.now() - then) / 1000) : "–";
}

export function length(seconds) {
  const whole = Math.max(0, seconds);
  if (whole < 0.1) return "< 0.1 s";
  if (whole < 10) return `${whole.toFixed(1)} s`;
  if (whole < 60) return `${Math.floor(whole)} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}

export function local(text) {
  const then = moment(text);
  return then ? then.toLocaleString() : "";
}

let hush;
export function say(text) {
  $("said").textContent = text;
  clearTimeout(hush);
  hush = setTimeout(() => ($("said").textContent = ""), 6_000);
}

/** Asks before something that cannot be taken back. */
export function sure(what, yes) {
  const dialog = $("sure");
  $("sure-what").textContent = what;
  $("sure-yes").textContent = yes;
  return new Promise((answer) => {
    $("sure-yes").onclick = () => dialog.close("yes");
    $("sure-no").onclick = () => dialog.close("no");
    dialog.onclose = () => answer(dialog.returnValue === "yes");
    dialog.returnValue = "no";
    dialog.showModal();
  });
}
