/** Refusals in plain words. */

import { element } from "./elements.js";

const WORDS = {
  0: "No answer",
  401: "A key is needed",
  403: "This key may not do that",
  404: "Not there",
  409: "Somebody was faster, or the step comes too late",
  429: "The server is busy",
  503: "Not available at the moment",
};

const ADVICE = {
  0: "Look whether the server runs, and try again.",
  403: "Sign out, and in again with a key that has the scope; whoever runs the server makes keys.",
  409: "Look at the item again: it has been brought up to date.",
  429: "Try again in a moment.",
  503: "Try again in a moment.",
};

/** Give the heading for a refusal. */
export function heading(refusal) {
  return WORDS[refusal.status] ?? (refusal.status >= 500 ? "The server failed" : "That did not work");
}

/** Give a refusal as a notice: what happened, and the way out; without a heading where one stands over it. */
export function notice(refusal, headed = true) {
  const log = refusal.requestId ? ` In the server's log it is request ${refusal.requestId}.` : "";
  return element(
    "div",
    { class: "notice", role: "alert" },
    headed ? element("strong", {}, heading(refusal)) : null,
    element("p", {}, sentence(refusal.message)),
    element("p", { class: "quiet" }, (ADVICE[refusal.status] ?? "") + (refusal.status >= 500 ? log : "")),
  );
}

/** Give a refusal in one line, for the status. */
export function line(refusal) {
  return `${heading(refusal)}: ${sentence(refusal.message)}`;
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
