/** The live figures at the top: queue, agreement, flag rate, audit error, drift. */

import { described } from "./elements.js";
import { number, percent } from "./numbers.js";
import { ask } from "./server.js";
import { flagging, total } from "./telemetry.js";
import { audited } from "./watched.js";

const EVERY_MS = 5000;
const NEVER_AGAIN = new Set([401, 403, 404]); // not until somebody else signs in

/** Asks for the figures every few seconds while the page is looked at, and shows them. */
export class Figures {
  #place;
  #moved;
  #refused = new Map();
  #shown = "";
  #timer = 0;

  /**
   * @param place a description list.
   * @param moved is called when a figure has changed.
   */
  constructor(place, moved) {
    this.#place = place;
    this.#moved = moved;
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** Ask anew what may have been refused to another key. */
  restart() {
    this.#refused.clear();
    this.#place.replaceChildren();
    this.#shown = "";
    return this.refresh();
  }

  /** Ask now, and every few seconds from now on. */
  async refresh() {
    clearTimeout(this.#timer);
    const [stats, models] = await Promise.all([
      this.#granted("stats", () => ask("v1/reviews/stats")),
      this.#granted("metrics", () => flagging()),
    ]);
    clearTimeout(this.#timer);
    if (!document.hidden) this.#timer = setTimeout(() => this.refresh(), EVERY_MS);
    const strange = [...this.#refused.values()].includes(401); // who has not signed in sees nothing
    if (strange) this.#show([], null);
    else this.#show([...(stats ? queue(tallied(stats.versions)) : []), ...(models ? [rate(total(models))] : []), ...(stats ? promises(stats.watched) : [])], stats);
  }

  async #granted(name, question) {
    if (this.#refused.has(name)) return null;
    try {
      return await question();
    } catch (refusal) {
      if (NEVER_AGAIN.has(refusal.status)) this.#refused.set(name, refusal.status);
      return null;
    }
  }

  #show(figures, stats) {
    const text = JSON.stringify([figures, stats]);
    if (text === this.#shown) return;
    const first = this.#shown === "";
    this.#shown = text;
    this.#place.replaceChildren(...figures.map(([term, value, title]) => figure(term, value, title)));
    if (!first) this.#moved();
  }
}

/** Sum what versions count of their reviews. */
export function tallied(versions) {
  const sum = { pending: 0, claimed: 0, resolved: 0, agreed: 0 };
  for (const version of versions) for (const name of Object.keys(sum)) sum[name] += version[name];
  return sum;
}

/** Tell how often reviewers agree with the model. */
export function agreement({ resolved, agreed }) {
  return resolved === 0 ? "–" : percent(agreed / resolved);
}

function queue(sum) {
  const claimed = `${sum.pending} wait for somebody, ${sum.claimed} are claimed, ${sum.resolved} resolved`;
  return [
    ["Queue", String(sum.pending), claimed],
    ["Agreement", agreement(sum), `Of ${sum.resolved} resolved, reviewers agreed with the model on ${sum.agreed}`],
  ];
}

function rate({ rows, flagged }) {
  return ["Flag rate", rows === 0 ? "–" : percent(flagged / rows), `${flagged} of ${rows} rows since the server was started`];
}

/** What audits and scores say, where something is promised. */
function promises(watched) {
  if (!watched.length) return [];
  const { rows, error, refuted, drift } = audited(watched);
  const broken = refuted.length ? `; the promise is refuted of ${refuted.join(", ")}` : "";
  return [
    ["Audit error", rows ? `${percent(error)}${refuted.length ? ", refuted" : ""}` : "–", `Of ${rows} labelled rows that were not flagged, so many were wrong${broken}`],
    ["Drift", drift === null ? "–" : number(drift), "How far scores have moved from those of the calibration, of the model where it is the most: above 0.25 is much"],
  ];
}

function figure(term, value, title) {
  const node = described(term, value);
  node.title = title;
  node.dataset.figure = term;
  return node;
}
