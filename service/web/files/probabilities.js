/** Class probabilities, with how far the samples lie apart. */

import { element } from "./elements.js";
import { percent } from "./numbers.js";
import { spread } from "./pictures.js";
import { table } from "./tables.js";

const AT_ONCE = 10;

/** Give the probabilities of a review, the greatest first. */
export function probabilities({ statistics, prediction }, labels) {
  const { mean, variance } = statistics;
  if (!Array.isArray(mean)) return [];
  const rows = mean
    .map((probability, place) => ({ label: labels[place] ?? named(place, prediction), probability, deviation: Math.sqrt(Math.max(0, variance?.[place] ?? 0)) }))
    .sort((one, other) => other.probability - one.probability);
  const rest = rows.slice(AT_ONCE);
  return [
    element("h3", {}, "Probabilities"),
    shown(rows.slice(0, AT_ONCE)),
    element("p", { class: "quiet small" }, `Bar: the mean of ${statistics.samples ?? "the"} samples. Line: one standard deviation to each side.`),
    rest.length ? element("details", {}, element("summary", {}, `${rest.length} more classes`), shown(rest)) : null,
  ].filter(Boolean);
}

function shown(rows) {
  const cells = rows.map(({ label, probability, deviation }) => [
    label,
    spread(probability, deviation),
    Math.max(probability, deviation) < 0.001 ? percent(probability) : `${percent(probability)} ± ${percent(deviation)}`,
  ]);
  return table("Class probabilities", ["Class", { text: "", class: "picture" }, { text: "Probability", class: "figure" }], cells);
}

function named(place, prediction) {
  return place === prediction.class_index ? prediction.label : `class ${place}`;
}
