/** Whether what was promised still holds: what audits say, and how far scores have moved. */

import { badge, described, element } from "./elements.js";
import { counted, number, percent } from "./numbers.js";

const STABLE = 0.1; // below, a population stability index is usually taken for none
const MOVED = 0.25; // above, for a change

/** Sum what audits say of all versions: for one line about the whole server. */
export function audited(watched) {
  const seen = watched.map((one) => one.audits).filter((one) => one?.rows);
  const rows = seen.reduce((sum, one) => sum + one.rows, 0);
  const wrong = seen.reduce((sum, one) => sum + one.rows * one.error, 0);
  const drifts = watched.map((one) => one.score_drift).filter((one) => one !== null);
  return {
    rows,
    error: rows ? wrong / rows : null,
    refuted: watched.filter((one) => one.audits?.refuted).map((one) => one.model),
    drift: drifts.length ? Math.max(...drifts) : null,
  };
}

/** Give the cells of a model's line: its audit error, and its drift. */
export function watchedCells(versions) {
  const { error, rows, refuted, drift } = audited(versions);
  const audits = rows ? [`${percent(error)} of ${rows}`, refuted.length ? [" ", badge("bad", "refuted")] : []].flat() : "–";
  return [audits, drift === null ? "–" : drifted(drift)];
}

/** Tell all that is known of one version, in words and numbers. */
export function watchedVersion(one) {
  const { audits, score_drift: drift } = one;
  return [
    element("p", {}, ...(audits === null ? ["Audits say nothing here: what is promised of values is about a tolerance, and a label is held against the interval."] : told(audits))),
    element("p", {}, drift === null ? NO_DRIFT : `The scores of the last rows ${moved(drift)} from those that the threshold was found with.`),
    element(
      "dl",
      { class: "facts" },
      ...(audits === null ? [] : numbers(audits)),
      described("Score drift", drift === null ? "–" : drifted(drift)),
    ),
  ];
}

const NO_DRIFT = "Whether the scores have moved is not known: that takes 500 certified rows, and a calibration on rows of every kind.";

function told({ rows, error, error_lower_bound: bound, promised_error: promised, refuted }) {
  if (!rows) return [badge("waiting", "not audited"), " Nobody has looked at a row that was not flagged, so that nothing is known of how many are wrong."];
  const seen = `Of ${counted(rows, "row")} that ${rows === 1 ? "was" : "were"} not flagged, and that people have looked at, ${percent(error)} were wrong`;
  if (promised === null) return [`${seen}. Nothing was promised of them.`];
  if (!refuted) return [badge("good", "not refuted"), ` ${seen}; up to ${percent(promised)} were promised.`];
  return [badge("bad", "promise refuted"), ` ${seen}. With the confidence of the promise, more than ${percent(bound)} of all such rows are, and ${percent(promised)} were allowed: do not rely on it, and calibrate anew.`];
}

function numbers({ rows, error, error_lower_bound: bound, promised_error: promised }) {
  return [
    described("Audited rows", String(rows)),
    described("Audit error", percent(error)),
    described("At least", rows ? percent(bound) : "–"),
    described("Promised", percent(promised)),
  ];
}

function drifted(drift) {
  return drift > MOVED ? [number(drift), " ", badge("bad", "moved")] : number(drift);
}

function moved(drift) {
  if (drift > MOVED) return "have moved";
  return drift > STABLE ? "have moved a little" : "have not moved";
}
