/** The view of one model. */

import { described, element, section } from "./elements.js";
import { calibration } from "./calibration.js";
import { dropout } from "./dropout.js";
import { stateBadge } from "./models.js";
import { plan } from "./plan.js";
import { policy } from "./policy.js";
import { number } from "./numbers.js";
import { address } from "./router.js";
import { ask, path } from "./server.js";
import { table } from "./tables.js";
import { watchedVersion } from "./watched.js";

/** Make the view. */
export async function model([name], _values, signal) {
  const where = path("v1", "models", name);
  const [found, report, live] = await Promise.all([ask(where, { signal }), ask(`${where}/dropout`, { signal }), promise(name, signal)]);
  return {
    title: found.name,
    room: "models",
    content: [
      element("p", { class: "way" }, element("a", { href: address(["models"]) }, "Models"), " /"),
      element("h1", {}, found.name, " ", stateBadge(found.state)),
      facts(found),
      section("When a row is flagged", ...policy(found)),
      promises(found) && live.some((one) => one.version === found.version) ? section("Whether it still holds", shown(live, found)) : null,
      section("Calibration", ...calibration(found)),
      section("What it takes and gives", inputs(found), gives(found)),
      section("Dropout report", ...dropout(report)),
      section("How samples run", ...plan(found)),
    ].filter(Boolean),
    update: () => updated(found, signal),
  };
}

/** What is watched of a model; nothing for who may not see the queue, or where there is none. */
async function promise(name, signal) {
  const { watched } = await ask("v1/reviews/stats", { signal }).catch(() => ({ watched: [] }));
  return watched.filter((one) => one.model === name);
}

/** Where every row is flagged, none is left to promise anything of. */
function promises({ calibration: made }) {
  return made === null || made.threshold !== null;
}

function shown(live, { version }) {
  return element("div", { id: "watched" }, ...live.filter((one) => one.version === version).flatMap(watchedVersion));
}

async function updated(found, signal) {
  const live = await promise(found.name, signal);
  if (live.length && !signal.aborted) document.getElementById("watched")?.replaceWith(shown(live, found));
}

function facts(found) {
  return element(
    "dl",
    { class: "facts" },
    described("Task", found.task),
    described("Version", versions(found)),
    described("Samples", samples(found.sampling)),
    described("Runs on", found.device),
    described("Weights", element("code", { title: found.weights_sha256 }, found.weights_sha256.slice(0, 12))),
  );
}

function versions(found) {
  const others = found.versions.filter((one) => one !== found.version);
  return others.length ? `${found.version} (also ${others.join(", ")})` : found.version;
}

function samples({ samples: usual, max_samples: most }) {
  if (usual === "exact") return "none: in closed form";
  const many = typeof usual === "number" ? String(usual) : `${usual.min} to ${usual.max}, as many as a row needs`;
  return `${many} (at most ${most})`;
}

function inputs(found) {
  const rows = found.inputs.map((tensor) => [tensor.name, tensor.dtype, shape(tensor)]);
  return table("Inputs of one row", ["Input", "Type", "Shape of a row"], rows);
}

function shape(tensor) {
  if (tensor.dtype === "string") return "a text";
  return tensor.shape.map((length) => (length === -1 ? "any" : length)).join(" × ") || "one number";
}

function gives({ task, output }) {
  if (task !== "regression") {
    const each = task === "token_classification" ? "For each token, one" : "One";
    return element("p", {}, `${each} of ${output.labels.length} classes: `, element("span", { class: "labels" }, output.labels.join(", ")), ".");
  }
  const noise = output.variance_head ? ", with the noise that it expects of the data" : "";
  return element("p", {}, `${output.width === 1 ? "One value" : `${number(output.width)} values`}${noise}.`);
}
