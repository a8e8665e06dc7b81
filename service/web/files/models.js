/** The view of all models. */

import { badge, element } from "./elements.js";
import { agreement, tallied } from "./figures.js";
import { percent } from "./numbers.js";
import { table } from "./tables.js";
import { address } from "./router.js";
import { ask } from "./server.js";
import { flagging } from "./telemetry.js";
import { watchedCells } from "./watched.js";

const STATES = {
  ready: ["good", "ready"],
  loading: ["waiting", "loading"],
  unavailable: ["bad", "not available"],
};

const LOADING_MS = 2000;

/**
 * Make the view; while a model loads it is made anew every few seconds.
 *
 * @param page shows this address anew: `{refresh}`.
 */
export function models(page) {
  return async (_parts, _values, signal) => {
    const view = await made(signal);
    if (view.loading) setTimeout(() => signal.aborted || page.refresh(), LOADING_MS);
    return view;
  };
}

async function made(signal) {
  const [{ models: found }, reasons, rows, reviews] = await Promise.all([
    ask("v1/models", { signal }),
    unavailable(signal),
    flagging(signal).catch(() => new Map()),
    ask("v1/reviews/stats", { signal }).catch(() => ({ versions: [], watched: [] })),
  ]);
  return {
    title: "Models",
    room: "models",
    loading: found.some((one) => one.state === "loading"),
    update: () => updated(signal),
    content: [element("h1", {}, "Models"), found.length ? listed(found, reasons, rows, reviews) : none()],
  };
}

/** Bring the table up to date; who stands in it with the keyboard stays there. */
async function updated(signal) {
  const { content } = await made(signal).catch(() => ({ content: [] }));
  const old = document.querySelector("main > .scroll");
  const fresh = content[1];
  if (old === null || !fresh?.matches(".scroll") || signal.aborted) return;
  const held = document.activeElement?.closest("main > .scroll a")?.getAttribute("href");
  const region = document.activeElement === old;
  fresh.scrollLeft = old.scrollLeft;
  old.replaceWith(fresh);
  if (region) fresh.focus({ preventScroll: true });
  else if (held) [...fresh.querySelectorAll("a")].find((link) => link.getAttribute("href") === held)?.focus({ preventScroll: true });
}

/** Make the badge of a model's state. */
export function stateBadge(state) {
  return badge(...(STATES[state] ?? ["waiting", state]));
}

function listed(found, reasons, sampled, reviews) {
  const figure = (text) => ({ text, class: "figure" });
  const columns = ["Model", "State", "Task", "Versions", figure("Rows sampled"), figure("Flagged"), figure("In the queue"), figure("Agreement"), ...(reviews.watched.length ? [figure("Audit error"), figure("Score drift")] : [])];
  const tallies = byModel(reviews.versions);
  const rows = found.map((model) => [
    model.state === "ready" ? element("a", { href: address(["models", model.name]) }, model.name) : model.name,
    [stateBadge(model.state), ...said(reasons.get(model.name))],
    model.task ?? "–",
    model.versions.join(", ") || "–",
    ...figures(sampled.get(model.name), tallies.get(model.name)),
    ...(reviews.watched.length ? watchedCells(reviews.watched.filter((one) => one.model === model.name)) : []),
  ]);
  return table("The models of this server", columns, rows);
}

function figures(sampled, reviews) {
  const { rows, flagged } = sampled ?? { rows: 0, flagged: 0 };
  const flags = rows ? percent(flagged / rows) : "–";
  return [String(rows), flags, ...(reviews ? [String(reviews.pending), agreement(reviews)] : ["–", "–"])];
}

function byModel(versions) {
  const names = new Set(versions.map((version) => version.model));
  return new Map([...names].map((name) => [name, tallied(versions.filter((version) => version.model === name))]));
}

function said(reason) {
  return reason ? [element("div", { class: "quiet small" }, reason)] : [];
}

function none() {
  return element("p", { class: "empty" }, "There is no model in the repository yet. `unsure add` and `unsure train` put one there.");
}

/** The list says that a model is not available; the index of the other face says why. */
async function unavailable(signal) {
  const versions = await ask("v2/repository/index", { body: {}, signal });
  return new Map(versions.filter((one) => one.reason).map((one) => [one.name, one.reason]));
}
