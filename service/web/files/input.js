/** An input drawn as what it is: a picture, a table, a text. */

import { element } from "./elements.js";
import { picture } from "./image.js";
import { number } from "./numbers.js";
import { table } from "./tables.js";

const CHANNELS = new Set([1, 3]);
const SMALLEST_SIDE = 4; // a picture has more; what is smaller is a table

/**
 * Draw an input.
 *
 * @param given the row as JSON: values, or an object of them by the names of the inputs or of the columns.
 * @param specs the model's inputs; empty where they are not known.
 */
export function drawn(given, specs) {
  if (given === null || given === undefined) {
    return [element("p", { class: "quiet" }, "The input is not kept on this server: only its hash.")];
  }
  if (typeof given !== "object" || Array.isArray(given)) return [one(given, specs[0])];
  if (byName(given, specs)) return [named(Object.values(given), Object.keys(given))];
  return Object.entries(given).map(([name, values]) =>
    element("div", {}, element("h4", {}, name), one(values, specs.find((spec) => spec.name === name))),
  );
}

/** Tell a row by the names of its columns from the inputs of a model of several. */
function byName(given, specs) {
  return specs.length < 2 && Object.values(given).every((value) => typeof value !== "object" || value === null);
}

function one(values, spec) {
  if (typeof values === "object" && values !== null && !Array.isArray(values)) return named(Object.values(values), Object.keys(values));
  // It scrolls where it is long, for keys too: what is to be said of it must stay in reach.
  if (typeof values === "string") return element("blockquote", { class: "text", tabindex: "0" }, values);
  const lengths = shape(values);
  const channels = asChannels(values, lengths);
  if (channels !== null) return picture(channels);
  if (lengths.length === 1) return named(values, spec?.columns ?? []);
  if (lengths.length === 2) return grid(values);
  return element("pre", {}, JSON.stringify(values, null, 1));
}

/** Give the lengths of nested arrays; those that are not all alike have none beyond. */
export function shape(values) {
  if (!Array.isArray(values) || !values.length) return [];
  const inner = values.map(shape);
  const alike = inner.every((one) => one.length === inner[0].length && one.every((length, axis) => length === inner[0][axis]));
  return [values.length, ...(alike ? inner[0] : [])];
}

/** Give channels of rows, where the shape is that of a picture; else null. */
function asChannels(values, lengths) {
  const [first, second, third] = lengths;
  const large = (...sides) => sides.every((side) => side >= SMALLEST_SIDE);
  if (lengths.length === 3 && CHANNELS.has(first) && large(second, third)) return values;
  if (lengths.length === 3 && CHANNELS.has(third) && large(first, second)) {
    return Array.from({ length: third }, (_, channel) => values.map((row) => row.map((pixel) => pixel[channel])));
  }
  return lengths.length === 2 && large(first, second) ? [values] : null;
}

function named(values, columns) {
  const rows = values.map((value, place) => [columns[place] ?? String(place + 1), shown(value)]);
  return table("Input", [columns.length ? "Name" : "Number", { text: "Value", class: "figure" }], rows);
}

function grid(values) {
  const columns = ["", ...values[0].map((_, place) => ({ text: String(place + 1), class: "figure" }))];
  return table("Input", columns, values.map((row, place) => [String(place + 1), ...row.map(shown)]));
}

function shown(value) {
  return typeof value === "number" ? number(value, 5) : String(value);
}
