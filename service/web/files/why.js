/** Why a row was flagged, in plain words, from its statistics. */

import { element } from "./elements.js";
import { number, percent } from "./numbers.js";
import { measureName, measureWords, wrong } from "./policy.js";
import { ofTokens, worst } from "./tokens.js";

const HIDDEN = "Some rows here were flagged, and some were not: those were drawn at random, to check the model where it is sure. Which is which, and how sure the model was, shows once it is resolved, so that all are judged alike.";
const CLOSE = 0.5; // of the whole: below, most of the uncertainty is in every sample

/** Say why an item is here. */
export function why(review, labels) {
  if (review.audit === null) return [element("p", {}, HIDDEN)];
  const said = [trigger(review), ...explained(review, labels)];
  return [
    ...said.map((sentence) => element("p", {}, sentence)),
    element("ul", { class: "reasons quiet small", "aria-label": "Reasons as the server gave them" }, review.reasons.map((reason) => element("li", {}, element("code", {}, reason.code), ": ", reason.message))),
  ];
}

function explained(review, labels) {
  if (ofTokens(review)) return [worst(review)].filter(Boolean);
  return review.task === "classification" ? ofClasses(review, labels) : ofValues(review);
}

function trigger({ audit, measure, score, threshold, reasons }) {
  if (audit && !reasons.length) return "It was not flagged. It was drawn at random, to check the rows that nobody would see.";
  if (reasons.some(({ code }) => code === "not_certified")) return "Every row of this model is flagged for now: its calibration found no threshold that keeps what was asked for.";
  const words = measureWords(measure);
  const name = `Its ${measureName(measure)}${words ? ` (${words})` : ""}`;
  return score > threshold
    ? `${name} is ${number(score)}. Above ${number(threshold)} a person looks before the answer is used.`
    : `${name} is ${number(score)}.`;
}

function ofClasses({ statistics }, labels) {
  return [between(statistics.mean, labels), kind(statistics)].filter(Boolean);
}

function between(mean, labels) {
  if (!Array.isArray(mean) || mean.length < 2) return null;
  const order = mean.map((_, place) => place).sort((one, other) => mean[other] - mean[one]);
  const [first, second] = order.map((place) => `${labels[place] ?? `class ${place}`} (${percent(mean[place])})`);
  return `It hesitates between ${first} and ${second}.`;
}

/** Variance is a sum too: how far the samples lie apart, and the noise that each expects of the data. */
function spread({ variance, aleatoric_variance: noise }) {
  if (variance?.length !== 1 || noise?.length !== 1) return null;
  const part = variance[0] / (variance[0] + noise[0]);
  if (!(part >= 0)) return null;
  return part > CLOSE
    ? `Most of the variance (${percent(part)}) is disagreement between the samples, as with rows unlike those that the model has learnt from.`
    : `Most of the variance (${percent(1 - part)}) is noise that the model expects of such data.`;
}

/** Entropy is a sum: what every sample has by itself, and what comes of samples that contradict each other. */
function kind({ predictive_entropy: whole, mutual_information: disagreement, variation_ratio: others }) {
  if (!(whole > 0) || disagreement === undefined) return null;
  const part = Math.max(0, disagreement / whole);
  const named = others > 0 ? ` ${percent(others)} of the samples name another class.` : "";
  return part > CLOSE
    ? `Most of the doubt (${percent(part)}) is disagreement between the samples, as with rows unlike those that the model has learnt from.${named}`
    : `Most of the doubt (${percent(1 - part)}) is in each sample by itself, as with rows that lie between classes.${named}`;
}

function ofValues({ prediction, statistics }) {
  const counted = prediction.tolerance == null && !prediction.tolerances ? null : `A value that is ${wrong(prediction)} counts as wrong.`;
  return [counted, spread(statistics), expected(prediction.interval)].filter(Boolean);
}

function expected(interval) {
  if (!interval) return null;
  const bounds = interval.lower.map((lower, place) => `${number(lower)} to ${number(interval.upper[place])}`);
  return `The true value is expected, at ${percent(interval.level)}, within ${bounds.join("; ")}.`;
}
