/** What the page needs of the server's metrics: how many rows were sampled, and how many of them flagged. */

import { askText } from "./server.js";

const LINE = /^(\w+)\{(.*)\} (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * Ask for the rows of each model since the server was started.
 *
 * @returns a map from the model's name to `{rows, flagged}`.
 */
export async function flagging(signal) {
  return counted(await askText("metrics", { signal }));
}

/** Read the Prometheus text. */
export function counted(text) {
  const models = new Map();
  const reasons = new Map();
  for (const [name, labels, value] of samples(text)) {
    const found = models.get(labels.model) ?? { rows: 0, flagged: 0 };
    if (name === "unsure_score_count") found.rows += value;
    else if (name === "unsure_low_confidence_total") add(reasons, labels, value);
    else continue;
    models.set(labels.model, found);
  }
  // A row may have several reasons: the commonest one alone counts no row twice.
  for (const [model, versions] of reasons) {
    for (const counts of versions.values()) models.get(model).flagged += Math.max(...counts);
  }
  return models;
}

/** Sum the models. */
export function total(models) {
  const all = [...models.values()];
  return { rows: sum(all.map((one) => one.rows)), flagged: sum(all.map((one) => one.flagged)) };
}

function* samples(text) {
  for (const line of text.split("\n")) {
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (name !== undefined) yield [name, read(labels), Number(value)];
  }
}

function read(labels) {
  return Object.fromEntries([...labels.matchAll(LABEL)].map(([, name, value]) => [name, value]));
}

function add(reasons, { model, version }, value) {
  const versions = reasons.get(model) ?? new Map();
  versions.set(version, [...(versions.get(version) ?? []), value]);
  reasons.set(model, versions);
}

function sum(values) {
  return values.reduce((one, other) => one + other, 0);
}
