/** What a person can do with an item: claim it, say what is right, give it back. */

import { element } from "./elements.js";
import { classField, valueField } from "./fields.js";
import { clock, number } from "./numbers.js";
import { line, notice } from "./refusals.js";
import { ask, path } from "./server.js";
import * as session from "./session.js";
import { say } from "./status.js";
import { ofTokens } from "./tokens.js";

let refused = null; // of the last step: told above the item as it is now

/**
 * Make the part of the pane where a person decides: `{node, keys, focus}`.
 *
 * @param review the item.
 * @param model its model, or null.
 * @param page `{go, refresh, moved}`.
 */
export function verdict(review, model, page) {
  const step = (verb, body, done) => stepped(review, verb, body, done, page);
  const made = parts(review, model, step);
  const trouble = refused?.id === review.id ? notice(refused.refusal) : null;
  refused = null;
  const node = element("section", { class: "verdict", "aria-label": "Your decision" }, trouble, ...made.content);
  return { node, keys: made.keys ?? {}, focus: made.focus ?? null };
}

function parts(review, model, step) {
  if (review.status === "resolved") return { content: [outcome(review)] };
  if (review.status === "pending") return open(step);
  return review.claim.reviewer === session.reviewer() ? mine(review, model, step) : others(review, step);
}

async function stepped(review, verb, body, done, page) {
  try {
    const now = await ask(path("v1", "reviews", review.id, verb), { body });
    say(done(now));
  } catch (refusal) {
    if (refusal.status === undefined) throw refusal;
    refused = { id: review.id, refusal };
    say(line(refusal));
  }
  await page.refresh();
  page.moved();
}

function open(step) {
  const name = element("input", { id: "reviewer", autocomplete: "name", required: true, maxlength: "200", value: session.reviewer() });
  const claim = () => {
    session.call(name.value);
    return step("claim", { reviewer: session.reviewer() }, (now) => `Claimed until ${clock(now.claim.expires_at)}.`);
  };
  const button = element("button", { class: "strong" }, "Claim ", element("kbd", {}, "c"));
  const form = element(
    "form",
    { class: "line-form", submit: (event) => (event.preventDefault(), claim()) },
    element("div", {}, element("label", { for: "reviewer" }, "Your name"), name),
    button,
  );
  const press = () => (name.value.trim() ? claim() : name.focus());
  return {
    content: [element("h3", {}, "Claim it"), element("p", { class: "quiet" }, "For a while nobody else takes it, and you can say what is right."), form],
    keys: { c: { says: "claim", does: press } },
  };
}

function fieldOf(review, model) {
  if (ofTokens(review)) return classField(["correct", "wrong"], {});
  return review.task === "classification" ? classField(model?.output.labels ?? [], review.prediction) : valueField(review.prediction);
}

function mine(review, model, step) {
  const field = fieldOf(review, model);
  const note = element("textarea", { id: "note", rows: "2", maxlength: "10000" });
  const reviewer = session.reviewer();
  const resolve = () => {
    if (!form.reportValidity()) return null;
    const body = { reviewer, note: note.value, ...field.read() };
    return step("resolve", body, (now) => `Resolved: ${now.resolution.agreed ? "you agree with the model" : "the model was wrong"}. Press n for the next.`);
  };
  const release = () => step("release", { reviewer }, () => "Given back to the queue.");
  const form = element(
    "form",
    { submit: (event) => (event.preventDefault(), resolve()), keydown: (event) => event.key === "Enter" && event.ctrlKey && resolve() },
    field.node,
    element("label", { for: "note" }, "Note ", element("span", { class: "quiet" }, "if there is anything to say")),
    note,
    element(
      "div",
      { class: "buttons" },
      element("button", { class: "strong" }, "Resolve ", element("kbd", {}, "r")),
      element("button", { type: "button", click: release }, "Give back ", element("kbd", {}, "x")),
      element("span", { class: "quiet small" }, `Yours until ${clock(review.claim.expires_at)}`),
    ),
  );
  return {
    content: [element("h3", {}, ofTokens(review) ? "Are all labels right?" : "What is right?"), form],
    focus: field.focus,
    keys: { ...field.keys, r: { says: "resolve", does: resolve }, x: { says: "give back", does: release } },
  };
}

function others(review, step) {
  const { reviewer, expires_at: expires } = review.claim;
  const release = () => step("release", {}, () => "Given back to the queue.");
  return {
    content: [
      element("p", {}, `${reviewer} has claimed it, until ${clock(expires)}.`),
      element("button", { type: "button", click: release }, "Give it back to all ", element("kbd", {}, "x")),
    ],
    keys: { x: { says: "give back to all", does: release } },
  };
}

function outcome({ resolution: { reviewer, label, value, note, agreed } }) {
  const said = label ?? [value].flat().map((one) => number(one)).join(", ");
  return element(
    "div",
    {},
    element("h3", {}, "Resolved"),
    element("p", {}, `${reviewer} says `, element("strong", {}, said), agreed ? ". The model was right." : ". The model was wrong."),
    note ? element("blockquote", { class: "text" }, note) : null,
  );
}
