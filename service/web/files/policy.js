/** A policy in words: what is compared, and what stands behind the threshold. */

import { badge, element } from "./elements.js";
import { number, percent } from "./numbers.js";

/** What each score is, in a few plain words. */
const MEASURES = {
  predictive_entropy: "how evenly the probabilities are spread over the classes",
  expected_entropy: "how unsure the samples are, each by itself",
  mutual_information: "how much the samples disagree with each other",
  variation_ratio: "the share of samples that name another class",
  max_probability: "what is missing to certainty: 1 − the probability of the class",
  standard_deviation: "how far off the value may be, by the samples and by the noise of the data",
  relative_standard_deviation: "how far off the value may be, as a share of it",
  interval_width: "how wide the interval is",
};

const SOURCES = {
  calibrated: "The threshold was found from held-out labelled rows.",
  configured: "Somebody has set the threshold by hand in model.toml.",
  request: "The request brought this threshold.",
};

/** Name a measure as people read it. */
export function measureName(measure) {
  return measure === "max_probability" ? "1 − max. probability" : measure.replaceAll("_", " ");
}

/** Say what a measure is, in a few plain words; empty where there are none. */
export function measureWords(measure) {
  return MEASURES[measure] ?? "";
}

/** Say what counts as wrong: of values, how far off is too far, for all alike or for each. */
export function wrong({ tolerance, tolerances }) {
  if (tolerances) return `off by more than ${tolerances.map((one, place) => `${number(one, 4)} in value ${place + 1}`).join(" or ")}`;
  return tolerance == null ? "wrong" : `more than ${number(tolerance, 4)} off`;
}

/** Give the policy of a model in words. */
export function policy({ policy: found, calibration }) {
  return calibration && calibration.threshold === null ? [everyRow()] : [rule(found), promise(found)];
}

function everyRow() {
  return element("p", {}, element("strong", {}, "Every row is flagged"), ": no threshold keeps what was asked for, on the rows that there were.");
}

function rule(found) {
  const words = measureWords(found.measure);
  return element(
    "p",
    {},
    "A row is flagged where its ",
    element("strong", {}, measureName(found.measure)),
    words ? ` (${words})` : "",
    " is above ",
    element("strong", {}, number(found.threshold, 4)),
    ". ",
    SOURCES[found.source] ?? "",
  );
}

function promise({ certified, guarantee }) {
  if (!certified) {
    return element("p", {}, badge("waiting", "not certified"), " Nothing is promised about the rows that are not flagged.");
  }
  return element("p", {}, badge("good", "certified"), ` ${guaranteed(guarantee)}`);
}

function guaranteed(guarantee) {
  const { contract, target_error: error, confidence } = guarantee ?? {};
  if (contract === "selective_risk") {
    return `Of the rows that are not flagged, at most ${percent(error)} are ${wrong(guarantee)}; this holds with ${percent(confidence)} confidence.`;
  }
  if (contract === "joint_risk") return `On average, at most ${percent(error)} of all rows are ${wrong(guarantee)} and not flagged.`;
  return "A statistical promise stands behind the threshold.";
}
