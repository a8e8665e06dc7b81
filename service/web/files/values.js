/** Values of a regression, with their interval. */

import { element } from "./elements.js";
import { number, percent } from "./numbers.js";
import { table } from "./tables.js";

/** Give the values of a review. */
export function values({ prediction, statistics }) {
  const { value, interval } = prediction;
  const rows = [
    ["Expected", ...value.map((mean) => number(mean, 4))],
    ["± of the model", ...deviations(statistics.variance, value)],
    ["± of the data", ...deviations(statistics.aleatoric_variance, value)],
    [interval ? `${percent(interval.level)} interval` : "Interval", ...value.map((_, place) => bounds(interval, place))],
  ];
  const columns = ["", ...value.map((_, place) => ({ text: value.length > 1 ? `Value ${place + 1}` : "Value", class: "figure" }))];
  return [
    element("h3", {}, "Values"),
    table("Expected values", columns, rows),
    element("p", { class: "quiet small" }, "± of the model: how far the samples lie apart. ± of the data: the noise that the model expects."),
  ];
}

function deviations(variances, value) {
  return value.map((_, place) => (variances?.[place] === undefined ? "–" : number(Math.sqrt(variances[place]))));
}

function bounds(interval, place) {
  return interval ? `${number(interval.lower[place])} to ${number(interval.upper[place])}` : "–";
}
