// An execution at this moment: bars of what it fetches or stores, curves of what it uses. Asked for while it is shown.

import { get } from "./api.js";
import { $, element, length, meter, size } from "./show.js";

const EVERY_MS = 1_000;
const WORDS = { downloading: "Fetches", uploading: "Stores", pulling: "Fetches its image" };
const WIDTH = 240;
const HEIGHT = 40;
const SVG = "http://www.w3.org/2000/svg";

let shown = null; // which execution
let timer = null;

/** Shows this one from now on; while it is not over it is asked for again and again. */
export function show(execution, over) {
  if (shown?.execution === execution && shown.over === over) return;
  if (shown?.execution !== execution) $("moment").replaceChildren();
  hide();
  shown = { execution, over };
  look(shown);
}

export function hide() {
  shown = null;
  clearTimeout(timer);
}

async function look(mine) {
  let again = !mine.over;
  try {
    if (!document.hidden) draw((await get(`/executions/${mine.execution}/live`)).content, mine);
  } catch (error) {
    again &&= error.status !== 404;
  }
  if (shown === mine && again) timer = setTimeout(() => look(mine), EVERY_MS);
}

function draw(one, mine) {
  if (shown !== mine) return;
  const parts = [];
  if (one.transfer) parts.push(...transfer(one.transfer));
  if (one.curve.length > 1) parts.push(curves(one.curve));
  $("moment").replaceChildren(...parts);
}

function transfer(one) {
  const part = one.parts > 1 ? ` ${one.part} of ${one.parts}` : "";
  const files = (one.total_files ?? 1) > 1 ? `, ${one.done_files} of ${one.total_files} files` : "";
  const left = one.rate && one.total_bytes ? `, ${length((one.total_bytes - one.done_bytes) / one.rate)} left` : "";
  const rate = one.rate ? `, ${size(one.rate)}/s` : "";
  const rows = [line(`${WORDS[one.what]}${part}`, one, `${rate}${left}${files}`)];
  for (const file of one.files) rows.push(line(file.name, file, "", "file"));
  return rows;
}

function line(name, one, more, kind = "") {
  const made = element("div", "", { class: `moving ${kind}` });
  const known = one.total_bytes !== null && one.total_bytes > 0;
  const text = (known ? `${size(one.done_bytes)} of ${size(one.total_bytes)}` : size(one.done_bytes)) + more;
  const bar = known ? meter((100 * one.done_bytes) / one.total_bytes, text) : element("span");
  made.append(element("span", name, { class: "what", title: name }), bar, element("span", text, { class: "much" }));
  return made;
}

function curves(points) {
  const last = points.at(-1);
  const memory = points.map((point) => point.memory_bytes);
  const cores = points.map((point, at) => {
    const before = at > 0 ? points[at - 1] : { at_s: 0, cpu_s: 0 };
    return Math.max(point.cpu_s - before.cpu_s, 0) / Math.max(point.at_s - before.at_s, 0.001);
  });
  if (points[0].at_s > 5) cores[0] = cores[1]; // what was before it was first looked at says little of that moment
  const times = points.map((point) => point.at_s);
  const made = element("div", "", { class: "curves" });
  const most = Math.max(...cores);
  made.append(
    curve("Memory", times, memory, `at most ${size(Math.max(...memory))}`),
    curve("Cores", times, cores, `at most ${most.toFixed(1)}, ${length(last.cpu_s)} of CPU in ${length(last.at_s)}`),
    element("p", `${size(last.read_bytes)} read from disks, ${size(last.written_bytes)} written`, { class: "note" }),
  );
  return made;
}

function curve(name, times, values, words) {
  const made = element("figure");
  const image = document.createElementNS(SVG, "svg");
  image.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  image.setAttribute("preserveAspectRatio", "none");
  image.setAttribute("role", "img");
  image.setAttribute("aria-label", `${name}: ${words}`);
  const most = Math.max(...values, 1e-9);
  const end = times.at(-1) || 1;
  const spots = values.map((value, at) => `${((WIDTH * times[at]) / end).toFixed(1)},${(HEIGHT - (HEIGHT - 2) * (value / most)).toFixed(1)}`);
  const first = ((WIDTH * times[0]) / end).toFixed(1);
  const area = document.createElementNS(SVG, "polygon");
  area.setAttribute("points", `${first},${HEIGHT} ${spots.join(" ")} ${WIDTH},${HEIGHT}`);
  image.append(area);
  made.append(element("figcaption", `${name}, ${words}`), image);
  return made;
}
