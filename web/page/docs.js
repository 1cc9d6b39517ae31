// The page of all routes: what /openapi.json says, to read and to try. Everything on it is made from that document.

import { ask, keepToken, takeToken, tokenKept } from "./api.js";
import { trying } from "./try.js";
import { $, element, say } from "./show.js";

const TITLES = { batch: "batches", bus: "messages put aside", "openapi.json": "this description", docs: "this page", ui: "live page" };
let all;

/** What a `$ref` stands for. */
export function resolved(schema) {
  return schema?.$ref ? resolved(schema.$ref.slice(2).split("/").reduce((found, name) => found[name], all)) : schema;
}

/** Text in which `this` is code. */
export function prose(text, name = "p") {
  const made = element(name);
  text.split("`").forEach((part, at) => made.append(at % 2 ? element("code", part) : part));
  return made;
}

/** A type in words. */
export function words(schema) {
  const one = resolved(schema) ?? {};
  const choices = (one.anyOf ?? one.oneOf ?? []).filter((choice) => choice.type !== "null");
  if (choices.length) return choices.map(words).join(" or ");
  if (one.const !== undefined) return String(one.const);
  if (one.enum) return one.enum.join(" | ");
  if (one.type === "array") return words(one.items).replace(/^(whole number|number|text)/, "$1s").replace(/^/, "list of ");
  const bounded = one.minimum !== undefined && one.maximum !== undefined;
  const name = { integer: "whole number", number: "number", string: "text", boolean: "true or false" }[one.type];
  return `${name ?? one.title ?? one.type ?? "anything"}${bounded ? `, ${short(one.minimum)} to ${short(one.maximum)}` : ""}`;
}

function short(number) {
  return number === 2 ** 48 - 1 ? "2⁴⁸ − 1" : number.toLocaleString("en").replace("-", "−");
}

function rows(columns, items) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const column of columns) head.append(element("th", column));
  const body = table.createTBody();
  for (const cells of items) {
    const row = body.insertRow();
    for (const cell of cells) row.append(element("td", cell));
  }
  return element("div", table, { class: "scroll" });
}

/** What is known of a field, as far as something is. */
function told(...parts) {
  return prose(parts.filter(Boolean).join("; "), "span");
}

function fields(schema) {
  const one = resolved(schema) ?? {};
  const needed = new Set(one.required ?? []);
  return Object.entries(one.properties ?? {}).map(([name, field]) => [
    element("code", name),
    told(words(field), needed.has(name) && "needed", field.description),
  ]);
}

// One route -----------------------------------------------------------------------------------------------------

function route(path, method, one) {
  const made = element("details", "", { class: "route" });
  made.id = one.operationId ?? `ws${path.replaceAll(/[^a-z]+/g, "_")}`;
  const summary = element("summary", badge(one["x-websocket"] ? "ws" : method));
  summary.append(element("code", path), element("span", one.summary, { class: "what" }), scope(one["x-scope"]));
  made.append(summary);
  made.dataset.text = `${method} ${path} ${one.summary} ${one["x-scope"]}`.toLowerCase();
  made.addEventListener("toggle", () => made.open && made.children.length === 1 && made.append(inside(path, method, one)));
  return made;
}

function badge(method) {
  const made = element("span", method.toUpperCase(), { class: "method" });
  made.dataset.is = method;
  return made;
}

function scope(name) {
  return element("span", name, { class: "badge", title: name === "open" ? "anybody may" : `who has the right to ${name}` });
}

function inside(path, method, one) {
  const made = element("div", "", { class: "inside" });
  if (one.description) made.append(prose(one.description));
  const parameters = one.parameters.filter((each) => each.in !== "header");
  if (parameters.length) {
    made.append(element("h3", "Parameters"));
    const cells = parameters.map((each) => [
      element("code", each.name),
      told(words(each.schema), each.in === "path" ? "in the path" : each.required && "needed", each.schema.description),
    ]);
    made.append(rows(["name", "what"], cells));
  }
  const body = one.requestBody?.content["application/json"];
  if (body) {
    const said = resolved(body.schema).description;
    made.append(element("h3", "Body"), ...(said ? [prose(said)] : []), rows(["field", "what"], fields(body.schema)));
  }
  made.append(element("h3", "Answers"), ...answers(one));
  if (!one["x-websocket"]) made.append(element("h3", "Try it"), trying(path, method, one));
  return made;
}

function answers(one) {
  const list = element("dl", "", { class: "answers" });
  const found = [list];
  for (const [status, answer] of Object.entries(one.responses)) {
    if (answer.$ref) {
      const links = element("dd");
      all["x-refusals"].filter((each) => String(each.status) === status).forEach((each, at) => {
        const link = element("a", each.word);
        link.href = `#${each.word}`;
        links.append(at ? ", " : "", link);
      });
      list.append(element("dt", status), links);
      continue;
    }
    list.append(element("dt", status), element("dd", answer.description));
    const [media, content] = Object.entries(answer.content ?? {})[0] ?? [];
    if (content?.example !== undefined) found.push(element("pre", JSON.stringify(content.example, null, 2), { class: "code" }));
    else if (media && !media.includes("json")) list.lastChild.append(` (${media})`);
  }
  return found;
}

// All of them ---------------------------------------------------------------------------------------------------

function refusal(one) {
  const made = element("article", "", { class: "refusal" });
  made.id = one.word;
  const title = element("h3", one.word);
  title.append(" ", element("span", String(one.status), { class: "badge" }));
  const remedy = prose(one.remedy);
  remedy.prepend(element("b", "What to do: "));
  made.append(title, element("q", one.said), prose(one.means), remedy);
  return made;
}

function show() {
  $("version").textContent = `REST interface, ${all.info.version}`;
  let tag = null;
  let list = null;
  for (const [path, methods] of Object.entries(all.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      if (one.tags[0] !== tag) {
        tag = one.tags[0];
        const title = TITLES[tag] ?? tag;
        $("routes").append(element("h2", title[0].toUpperCase() + title.slice(1)));
        list = element("ul");
        $("contents").append(element("h2", title), list);
      }
      const made = route(path, method, one);
      $("routes").append(made);
      const link = element("a", badge(one["x-websocket"] ? "ws" : method), { title: one.summary });
      link.href = `#${made.id}`;
      link.append(element("code", path));
      list.append(element("li", link));
    }
  }
  $("refusals").append(...all["x-refusals"].map(refusal));
  const link = element("a", "What can go wrong");
  link.href = "#refused";
  $("contents").append(element("h2", link));
}

/** Only what has all the words. */
function find() {
  const wanted = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  let any = false;
  for (const one of document.querySelectorAll(".route")) {
    one.hidden = !wanted.every((word) => one.dataset.text.includes(word));
    any ||= !one.hidden;
    document.querySelector(`.contents a[href="#${CSS.escape(one.id)}"]`).parentElement.hidden = one.hidden;
  }
  for (const title of document.querySelectorAll("#routes h2")) {
    let next = title.nextElementSibling;
    while (next?.hidden && next.tagName !== "H2") next = next.nextElementSibling;
    title.hidden = !next || next.tagName === "H2";
  }
  for (const list of $("contents").querySelectorAll("ul")) {
    list.previousElementSibling.hidden = [...list.children].every((one) => one.hidden);
  }
  $("none").hidden = any;
}

/** What the address leads to: there only now. */
function go() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.hidden = false;
  target.scrollIntoView();
}

async function begin() {
  takeToken();
  $("token").value = tokenKept();
  const answer = await ask("/openapi.json");
  all = await answer.json();
  show();
  if (location.hash) location.replace(location.hash); // so that it is the target of the style too
  go();
}

$("find").addEventListener("input", find);
$("token").addEventListener("input", () => keepToken($("token").value.trim()));
$("with").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", go);
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea")) return;
  event.preventDefault();
  $("find").focus();
});
begin().catch((error) => say(error.message));
