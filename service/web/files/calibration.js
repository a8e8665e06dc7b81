/** What was found when a threshold was certified, in words and a picture. */

import { curves } from "./curves.js";
import { described, element, svg } from "./elements.js";
import { number, percent } from "./numbers.js";
import { measureName, wrong } from "./policy.js";
import { table } from "./tables.js";

/** Give the calibration of a model. */
export function calibration({ calibration: found, policy }) {
  if (!found) return [none(), ...doubts(policy)];
  const doubtful = found.threshold === null ? [] : doubts(policy);
  return [outcome(found), ...doubtful, facts(found), ...curves(found), distribution(found), ...scores(found)].filter(Boolean);
}

function none() {
  return element("p", { class: "empty" }, "This version is not calibrated: nobody has measured how often its answers are wrong.");
}

function doubts({ uncertified_reasons: reasons = [] }) {
  return reasons.length ? [element("ul", {}, reasons.map((reason) => element("li", {}, reason)))] : [];
}

function outcome(found) {
  const { threshold, rows, rows_needed: needed, target_error: target } = found;
  if (threshold === null) {
    const more = needed ? ` About ${needed} rows would be needed.` : "";
    return element("p", {}, `No threshold keeps ${percent(target)} on ${rows} rows, so that every row is flagged.${more}`);
  }
  const seen = found.rows_of === "unflagged" ? `Of ${rows} labelled rows that the threshold before had left unflagged, ${percent(found.flagged_share)} would be flagged.` : `On ${rows} labelled rows ${percent(found.flagged_share)} were flagged.`;
  const bound = found.contract === "selective_risk" ? "At most" : "About";
  return element("p", {}, `${seen} ${bound} ${percent(found.error_bound)} of the others are ${wrong(found)}; ${percent(target)} were allowed.`);
}

function facts(found) {
  return element(
    "dl",
    { class: "facts" },
    described("Measure", measureName(found.measure)),
    described("Threshold", number(found.threshold, 4)),
    described("Confidence", found.confidence === null ? "on average" : percent(found.confidence)),
    found.tolerance === null ? null : described("Wrong is farther than", number(found.tolerance)),
    found.tolerances ? described("Wrong is farther than, by value", found.tolerances.map((one) => number(one)).join("; ")) : null,
    described("Made of", found.rows_of === "unflagged" ? "audits: rows that were not flagged before" : "rows of every kind"),
    described("Samples", String(found.samples)),
    described("Seed", String(found.seed)),
    found.temperature === 1 ? null : described("Temperature", number(found.temperature, 4)),
    found.interval_level === null ? null : described("Sets or intervals", `at ${percent(found.interval_level)}`),
  );
}

/** The share of rows up to each score: its edges lie where rows are many, so that bars would all be alike. */
function distribution({ histogram: { edges, counts }, threshold, measure }) {
  if (!edges.length) return null;
  const total = counts.reduce((one, other) => one + other, 0) || 1;
  const reached = counts.map((_, place) => counts.slice(0, place + 1).reduce((one, other) => one + other, 0) / total);
  const names = counts.map((_, place) => (place < edges.length ? `up to ${number(edges[place])}` : `above ${number(edges.at(-1))}`));
  const columns = ["Score", { text: "Rows", class: "figure" }, { text: "Share up to it", class: "figure" }];
  const line = threshold === null ? "" : " The broken line is the threshold: rows to the right of it are flagged.";
  return element(
    "div",
    {},
    element("h3", {}, "Scores of the labelled rows"),
    curve(edges, reached, threshold),
    element("p", { class: "quiet small" }, `Across: ${measureName(measure)}. Upwards: the share of rows with a score up to it.${line}`),
    element("details", {}, element("summary", {}, "As a table"), table("Scores of the rows", columns, counts.map((count, place) => [names[place], String(count), percent(reached[place])]))),
  );
}

function curve(edges, reached, threshold) {
  const lowest = Math.min(0, edges[0]);
  const highest = Math.max(edges.at(-1), threshold ?? -Infinity) + (edges.at(-1) - lowest) * 0.05;
  const across = (score) => (100 * (score - lowest)) / (highest - lowest || 1);
  const points = edges.map((edge, place) => `L${across(edge)} ${100 - 100 * reached[place]}`);
  return element(
    "div",
    { class: "curve" },
    svg(
      "svg",
      { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": "Shares of rows by score; the table below has the numbers" },
      svg("path", { d: `M0 100 ${points.join(" ")} L100 0` }),
      threshold === null ? null : svg("path", { class: "threshold", d: `M${across(threshold)} 0 V100` }),
    ),
    element("div", { class: "ends", "aria-hidden": "true" }, element("span", {}, number(lowest)), element("span", {}, number(highest))),
  );
}

function scores({ scores: all, measure }) {
  if (!all.length) return [];
  const figure = (text) => ({ text, class: "figure" });
  const rows = all.map((one) => [
    one.measure === measure ? element("strong", {}, `${measureName(one.measure)} ✓`) : measureName(one.measure),
    number(one.augrc),
    number(one.aurc),
    one.auroc === null ? "–" : number(one.auroc),
  ]);
  return [
    element("h3", {}, "How well each measure finds wrong rows"),
    table("Measures", ["Measure", figure("AUGRC"), figure("AURC"), figure("AUROC")], rows),
    element("p", { class: "quiet small" }, "AUGRC and AURC: the lower the better. AUROC: the higher the better. On rows that the threshold was not found with."),
  ];
}
