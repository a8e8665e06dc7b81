/** Asks the server, and turns whatever is no answer into a Refusal. */

import { key } from "./session.js";

/** What the server, or the way to it, did not grant. */
export class Refusal extends Error {
  /**
   * @param status of HTTP; 0 where no answer came.
   * @param code of the server's contract; empty where there is none.
   * @param text in one sentence.
   * @param requestId under which the server's log has it.
   */
  constructor(status, code, text, requestId = "") {
    super(text);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

/** Ask for JSON; `body` makes it a POST. */
export async function ask(path, { body, signal } = {}) {
  const answer = await asked(path, body, signal);
  if (answer.ok) return answer.json();
  throw await refusal(answer);
}

/** Ask for text. */
export async function askText(path, { signal } = {}) {
  const answer = await asked(path, undefined, signal);
  if (answer.ok) return answer.text();
  throw await refusal(answer);
}

/** Name a path whose parts may hold anything. */
export function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/** Name a path with a query; empty values are left out. */
export function query(where, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return text ? `${where}?${text}` : where;
}

async function asked(where, body, signal) {
  const headers = key() === null ? {} : { Authorization: `Bearer ${key()}` };
  const request = { headers, signal, cache: "no-store", credentials: "omit" };
  if (body !== undefined) {
    Object.assign(request, { method: "POST", body: JSON.stringify(body) });
    headers["Content-Type"] = "application/json";
  }
  try {
    return await fetch(where, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "", "The server does not answer. It may be stopped, or the network is down.");
  }
}

async function refusal(answer) {
  try {
    const { error, code, request_id: requestId } = await answer.json();
    return new Refusal(answer.status, code, error, requestId);
  } catch {
    return new Refusal(answer.status, "", `The answer is ${answer.status}, without a word of why.`);
  }
}
