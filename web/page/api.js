// Asks the server, always with the token, and follows what happens there.

const KEY = "scitq.token";
let position = 0; // of the newest thing this page knows to have happened

/** Where a token comes from: the address, once; then this tab remembers it. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

/** The token that is sent, or nothing. */
export function tokenKept() {
  return sessionStorage.getItem(KEY) ?? "";
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** There is no server, or no way to it. */
export class Away extends Error {}

export async function ask(path, options = {}) {
  const token = tokenKept();
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    throw new Away(error.message);
  }
}

async function checked(answer) {
  if (answer.ok) return answer;
  let message = `the server answered ${answer.status}`;
  try {
    message = (await answer.json()).message || message;
  } catch {
    // it was no JSON: the status says it all
  }
  throw new Refused(answer.status, message);
}

/** A list or an object, not older than what was heard to have happened. */
export async function get(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null);
  const query = new URLSearchParams(given).toString();
  const headers = { "X-Scitq-Position": String(position) };
  const answer = await checked(await ask(query ? `${path}?${query}` : path, { headers }));
  position = Math.max(position, Number(answer.headers.get("X-Scitq-Position")) || 0);
  return { content: await answer.json(), next: answer.headers.get("X-Next-After") };
}

export async function post(path, content) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID ? crypto.randomUUID() : key() };
  const answer = await checked(await ask(path, { method: "POST", headers, body: JSON.stringify(content) }));
  position = Math.max(position, Number(answer.headers.get("X-Scitq-Position")) || 0);
  return answer.json();
}

function key() {
  // randomUUID is missing where the page did not come over TLS or from this machine
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Calls `changed` whenever something has happened, for ever; `state` with whether the server is there. */
export async function follow(changed, state) {
  let pause = 500;
  for (;;) {
    try {
      const headers = { Accept: "text/event-stream" };
      const silence = new AbortController();
      let timer = setTimeout(() => silence.abort(), 25_000);
      const path = `/events?brief=true&after=${position}`;
      const answer = await checked(await ask(path, { headers, signal: silence.signal }));
      state(true);
      changed();
      pause = 500;
      await pieces(answer, (text) => {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), 25_000); // there is a comment every ten seconds
        for (const found of text.matchAll(/^id: (\d+)$/gm)) position = Math.max(position, Number(found[1]));
        if (text.includes("id: ")) changed();
      });
    } catch (error) {
      if (error instanceof Refused && error.status === 401) throw error;
    }
    state(false);
    await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random())));
    pause = Math.min(pause * 2, 5_000);
  }
}

/** The end of an output and what follows, piece by piece, until the execution has ended or `signal` says stop. */
export async function output(execution, stream, bytes, signal, take) {
  const path = `/executions/${execution}/${stream}?follow=true&tail=${bytes}`;
  await pieces(await checked(await ask(path, { signal })), take);
}

async function pieces(answer, take) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    const text = decoder.decode(value, { stream: !done });
    if (text) take(text);
    if (done) return;
  }
}
