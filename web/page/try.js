// Sends what one route takes, and shows what comes back, as it comes.

import { ask, Away, tokenKept } from "./api.js";
import { button, element } from "./show.js";

const MOST = 200_000; // characters that are shown

/** The fields of a route with its example in them, the same as a line for a shell, and the button. */
export function trying(path, method, one) {
  const form = element("form", "", { class: "try" });
  const inputs = new Map();
  for (const each of one.parameters.filter((parameter) => parameter.in !== "header")) {
    const label = element("label", element("code", each.name));
    const input = element("input");
    input.value = each.example === undefined ? "" : [each.example].flat().join(",");
    input.spellcheck = false;
    inputs.set(each, input);
    label.append(input);
    form.append(label);
  }
  const content = one.requestBody?.content["application/json"];
  const body = content && element("textarea", JSON.stringify(content.example ?? {}, null, 2));
  if (body) {
    body.spellcheck = false;
    body.ariaLabel = "Body";
    form.append(body);
  }
  const line = element("pre", "", { class: "code" });
  const answer = element("pre", "", { class: "code" });
  answer.hidden = true;
  const send = button("Send", () => {});
  send.type = "submit";
  send.className = method === "delete" ? "danger" : "main";
  form.append(line, element("div", send), answer);

  const asked = () => ({ method: method.toUpperCase(), path: filled(path, inputs), body: body?.value });
  const tell = () => (line.textContent = shell(asked(), one.security.length > 0));
  form.addEventListener("input", tell);
  tell();
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return running.abort();
    running = new AbortController();
    send.textContent = "Stop";
    answer.hidden = false;
    await sent(asked(), running.signal, answer);
    running = null;
    send.textContent = "Send";
  });
  return form;
}

function filled(path, inputs) {
  const query = new URLSearchParams();
  for (const [each, input] of inputs) {
    if (each.in === "path") path = path.replace(`{${each.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.append(each.name, input.value);
  }
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `${path}?${text}` : path;
}

/** For a shell, word by word. */
function shell({ method, path, body }, closed) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  if (closed) parts.push('-H "Authorization: Bearer $SCITQ_TOKEN"');
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", "-d", quoted(oneLine(body)));
  return [...parts, quoted(location.origin + path)].join(" ");
}

function oneLine(text) {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text; // while it is being written it is no JSON
  }
}

async function sent({ method, path, body }, signal, answer) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  answer.textContent = "…";
  try {
    const response = await ask(path, { method, headers, body, signal, redirect: "manual" });
    const facts = ["X-Scitq-Position", "X-Next-After", "Retry-After", "Allow"]
      .filter((name) => response.headers.get(name) !== null)
      .map((name) => `${name}: ${response.headers.get(name)}`);
    const hint = response.status === 401 && !tokenKept() ? ["(the token goes into the field at the top)"] : [];
    const top = [`${response.status || "redirected"} ${response.statusText}`, ...facts, ...hint, "", ""].join("\n");
    const json = response.headers.get("Content-Type")?.startsWith("application/json");
    await told(response, answer, top, json);
  } catch (error) {
    answer.textContent = error instanceof Away && !signal.aborted ? "The server does not answer." : `${answer.textContent}\n(stopped)`;
  }
}

async function told(response, answer, top, json) {
  let text = "";
  answer.textContent = top;
  if (!response.body) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  while (text.length < MOST) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    answer.textContent = top + text;
    if (done) break;
  }
  if (text.length >= MOST) {
    await reader.cancel();
    answer.textContent = `${top}${text.slice(0, MOST)}\n(and more)`;
  } else if (json) {
    answer.textContent = top + JSON.stringify(JSON.parse(text), null, 2);
  }
}
