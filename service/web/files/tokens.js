/** Tokens of a text, each with its label, in the order of the text. */

import { element } from "./elements.js";
import { number, percent } from "./numbers.js";
import { measureName } from "./policy.js";
import { table } from "./tables.js";

const AT_ONCE = 40; // more are folded away: what is to be said of them must stay in reach

/** Tell whether an item is about tokens. */
export function ofTokens(review) {
  return review.task === "token_classification";
}

/** Give the labels of a review's tokens; how sure they are only where that may be told. */
export function tokens(review) {
  const lines = review.prediction.tokens.map((token, place) => line(review, token, place));
  const rest = lines.slice(AT_ONCE);
  return [
    element("h3", {}, "Labels"),
    shown(review, lines.slice(0, AT_ONCE)),
    rest.length ? element("details", {}, element("summary", {}, `${rest.length} more tokens`), shown(review, rest)) : null,
  ].filter(Boolean);
}

/** Say in short which labels there are, the rarest first: those of most tokens say least. */
export function labelsInShort({ tokens: found }) {
  const counts = new Map();
  for (const { label } of found) counts.set(label, (counts.get(label) ?? 0) + 1);
  const order = [...counts].sort((one, other) => one[1] - other[1]).map(([label]) => label);
  return order.slice(0, 3).join(", ") + (order.length > 3 ? ", …" : "");
}

/** Name the token that has the score of its text; null where that may not be told. */
export function worst(review) {
  const scores = scoresOf(review);
  if (scores === null) return null;
  const token = review.prediction.tokens[scores.indexOf(Math.max(...scores))];
  return `Of its ${scores.length} tokens, ${named(token)}, labelled ${token.label}, is the least certain.`;
}

function line(review, token, place) {
  const scores = scoresOf(review);
  const sure = scores === null ? [] : [percent(token.confidence), number(scores[place])];
  return [named(token), token.label, ...sure];
}

function shown(review, lines) {
  const sure = scoresOf(review) === null ? [] : ["Probability", measureName(review.measure)];
  const columns = ["Token", { text: "Label", class: "whole" }, ...sure.map((text) => ({ text, class: "figure" }))];
  return table("Labels of tokens", columns, lines);
}

function scoresOf({ statistics, measure, prediction }) {
  if (statistics === null) return null;
  return statistics[measure] ?? prediction.tokens.map(({ confidence }) => 1 - confidence);
}

function named({ text, start, end }) {
  return text === undefined ? `${start} to ${end}` : `“${text}”`;
}
