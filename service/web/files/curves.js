/** The pictures of a calibration: risk over coverage, and reliability; each with its numbers as a table. */

import { Chart } from "./chart.js";
import { element } from "./elements.js";
import { percent } from "./numbers.js";
import { table } from "./tables.js";

const STEADY = 0.1; // of the rows: the share of wrong ones among fewer is mostly chance
const COVERAGES = Array.from({ length: 10 }, (_, place) => (place + 1) / 10);

/** Give the pictures; none of a calibration that an earlier version has made. */
export function curves(found) {
  if (!found.curves) return [];
  return [element("div", { class: "charts" }, riskCoverage(found), reliability(found.curves))];
}

function riskCoverage(found) {
  const { across, up } = found.curves.risk_coverage;
  const joint = found.contract === "joint_risk";
  const top = highest(found);
  const chart = new Chart(`rows not flagged${found.rows_of === "unflagged" ? ", of those not flagged before" : ""}`, joint ? "wrong and not flagged" : "wrong, of those", top);
  chart.line([0, 1], [found.target_error, found.target_error], "promised");
  chart.line(across, up, "found");
  const chosen = point(found, joint);
  if (chosen !== null) mark(chart, chosen, joint ? null : found.error_bound);
  const told = [spoken(across, up), chosen && `The chosen threshold leaves ${percent(chosen.coverage)} unflagged, and ${percent(chosen.risk)} wrong.`, `${percent(found.target_error)} are allowed.`];
  const words = [
    "From the strictest threshold, at the left, to none; broken, what is allowed.",
    chosen && ` The dot is the chosen threshold${joint ? "" : "; the bar ends where the share of wrong rows may truly be"}.`,
    Math.max(...up) > top && " What is higher is cut off: it is the share among very few rows.",
  ];
  const cells = COVERAGES.map((one) => [percent(one), percent(between(across, up, one))]);
  const columns = ["Rows not flagged", { text: joint ? "Wrong, of all" : "Wrong, of those", class: "figure" }];
  return figure("Risk and coverage", chart.drawn(told.filter(Boolean).join(" ")), words.filter(Boolean).join(""), table("Risk by coverage", columns, cells));
}

/** Where the picture ends: not at the first few rows, of which one may be wrong. */
function highest({ curves: { risk_coverage: curve }, target_error: target, error_bound: bound, threshold }) {
  const steady = curve.up.filter((_, place) => curve.across[place] >= STEADY);
  return Math.min(1.02, 1.15 * Math.max(target, threshold === null ? 0 : bound, ...steady));
}

function point({ threshold, rows, accepted, errors }, joint) {
  if (threshold === null) return null;
  return { coverage: accepted / rows, risk: errors / (joint ? rows : accepted) };
}

function mark(chart, { coverage, risk }, bound) {
  if (bound !== null) chart.line([coverage, coverage], [risk, bound], "bound");
  chart.dot(coverage, risk, "chosen", 6, `${percent(coverage)} not flagged, ${percent(risk)} wrong`);
}

function spoken(across, up) {
  return `Risk and coverage: with ${percent(0.5)} of the rows not flagged ${percent(between(across, up, 0.5))} are wrong, with all ${percent(up.at(-1))}.`;
}

/** Give the height of a line over a place. */
function between(across, up, place) {
  const next = across.findIndex((one) => one >= place);
  if (next < 0) return up.at(-1);
  if (next === 0) return up[0];
  const part = (place - across[next - 1]) / (across[next] - across[next - 1] || 1);
  return up[next - 1] + part * (up[next] - up[next - 1]);
}

function reliability({ reliability: { across, up }, reliability_rows: rows }) {
  const ofClasses = rows !== null;
  const chart = ofClasses ? new Chart("confidence", "right") : new Chart("level of the interval", "true values inside");
  chart.line([0, 1], [0, 1], "promised");
  const most = Math.max(1, ...(rows ?? []));
  if (ofClasses) across.forEach((sure, place) => chart.dot(sure, up[place], "bin", 3 + 9 * Math.sqrt(rows[place] / most), `${rows[place]} rows, confidence ${percent(sure)}, right ${percent(up[place])}`));
  else chart.line(across, up, "found");
  const told = `Reliability: ${ofClasses ? "how often rows of a confidence are right" : "how many true values lie in intervals of a level"}; at most ${percent(farthest(across, up))} off. The table below has the numbers.`;
  const words = ofClasses
    ? "How often rows of a confidence are right; on the broken line, as often as it says. Larger dots are more rows."
    : "How many true values lie inside of intervals of a level; on the broken line, as many as it says.";
  const columns = [ofClasses ? "Confidence" : "Level", { text: ofClasses ? "Right" : "Inside", class: "figure" }, ...(ofClasses ? [{ text: "Rows", class: "figure" }] : [])];
  const cells = across.map((one, place) => [percent(one), percent(up[place]), ...(ofClasses ? [String(rows[place])] : [])]);
  return figure("Reliability", chart.drawn(told), words, table("Reliability", columns, cells));
}

function farthest(across, up) {
  return Math.max(0, ...across.map((one, place) => Math.abs(one - up[place])));
}

function figure(name, picture, words, numbers) {
  return element(
    "div",
    {},
    element("h3", {}, name),
    picture,
    element("p", { class: "quiet small" }, words),
    element("details", {}, element("summary", {}, "As a table"), numbers),
  );
}
