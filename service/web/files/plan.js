/** How a model's samples run: which plan for how many rows, and what was measured when it was loaded. */

import { element } from "./elements.js";
import { duration, number } from "./numbers.js";
import { share } from "./pictures.js";
import { table } from "./tables.js";

/** What each plan is, as the glossary has it. */
const PLANS = {
  loop: "one pass a sample",
  vmap: "one pass for all samples, batched over the masks alone",
  fold: "the rows repeated for each sample",
  spread: "vmap, with convolutions of dropped channels as sums over channels",
  thinned: "vmap, with linear layers cut to the units that a sample keeps",
};

/** Give the plan of a model. */
export function plan({ plan: found, sampling }) {
  if (found === null) {
    return [element("p", {}, sampling.samples === "exact" ? "No samples run: the answer has a closed form." : "Nothing was planned: there is nothing to sample.")];
  }
  return [choice(found), measured(found), refused(found.refused), compiled(found.compiled)].filter(Boolean);
}

function choice(found) {
  const sizes = Object.keys(found.by_rows).map(Number).sort((one, other) => one - other);
  const names = [...new Set(sizes.map((rows) => found.by_rows[rows]))];
  const said = names.map((name) => element("li", {}, element("strong", {}, name), PLANS[name] ? `: ${PLANS[name]}` : ""));
  return element("div", {}, element("p", {}, "The fastest of the plans that give the same numbers:"), element("ul", {}, said));
}

function measured({ by_rows: chosen, measured: times, samples }) {
  if (!times.length) return element("p", { class: "quiet" }, "The plan was given, not measured.");
  const sizes = [...new Set(times.map((time) => time.rows))].sort((one, other) => one - other);
  const names = [...new Set(times.map((time) => time.plan))];
  const columns = ["Plan", ...sizes.map((rows) => ({ text: `${number(rows)} ${rows === 1 ? "row" : "rows"}`, class: "figure" }))];
  const slowest = new Map(sizes.map((rows) => [rows, Math.max(...of(times, rows).map((time) => time.seconds))]));
  const rows = names.map((name) => [name, ...sizes.map((size) => time(times, name, size, chosen[size] === name, slowest.get(size)))]);
  return element("div", {}, element("h3", {}, `Time for ${samples} samples`), table(`Time of each plan for ${samples} samples`, columns, rows));
}

function of(times, rows) {
  return times.filter((time) => time.rows === rows);
}

function time(times, plan, rows, chosen, slowest) {
  const found = times.find((one) => one.plan === plan && one.rows === rows);
  if (!found) return "–";
  const text = duration(found.seconds);
  return share(found.seconds / slowest, chosen ? element("strong", {}, `${text} ✓`) : text);
}

function refused(reasons) {
  const names = Object.keys(reasons);
  if (!names.length) return null;
  const said = names.map((name) => element("li", {}, element("strong", {}, name), `: ${reasons[name]}`));
  return element("details", {}, element("summary", {}, `Plans that this model cannot use (${names.length})`), element("ul", {}, said));
}

function compiled(codes) {
  if (!codes.length) return null;
  const said = codes.map((code) => element("li", {}, `${code.plan}, up to ${code.rows} rows: ${number(code.ratio)} of its time`));
  return element("div", {}, element("h3", {}, "Compiled"), element("ul", {}, said));
}
