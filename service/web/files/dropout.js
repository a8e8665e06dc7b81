/** The dropout report: where a model drops, and what its owner should know. */

import { badge, element } from "./elements.js";
import { number, percent } from "./numbers.js";
import { share } from "./pictures.js";
import { table } from "./tables.js";

/** Give a report. */
export function dropout(report) {
  return [
    element("p", {}, summary(report)),
    report.sites.length ? sites(report.sites) : null,
    ...findings(report.findings),
  ].filter(Boolean);
}

function summary({ can_sample: can, sites: all }) {
  if (!can) return "This model has nothing to sample: it can be asked for predictions alone.";
  const sampled = all.filter((site) => site.sampled).length;
  return `${sampled} of ${all.length} places where the model drops ${sampled === 1 ? "is" : "are"} sampled.`;
}

function sites(all) {
  const figure = { class: "figure" };
  const columns = [
    "Place", "Kind", { text: "Rate", ...figure }, "Mask of a row", "Sampled",
    { text: "Cost after it", ...figure }, { text: "Parameters after it", ...figure },
  ];
  const rows = all.map((site) => [
    element("code", {}, site.path || site.name),
    site.kind,
    number(site.rate),
    site.mask_shape.join(" × ") || "–",
    sampled(site),
    share(site.share_of_cost, percent(site.share_of_cost)),
    share(site.share_of_parameters, percent(site.share_of_parameters)),
  ]);
  return table("Dropout sites", columns, rows);
}

function sampled(site) {
  if (!site.fired) return badge("waiting", "never reached");
  return site.sampled ? badge("good", "yes") : badge("waiting", "no");
}

function findings(all) {
  if (!all.length) return [element("p", { class: "quiet" }, "The inspection found nothing that the owner should know.")];
  return [element("h3", {}, "Findings"), element("ul", { class: "findings" }, all.map(finding))];
}

function finding({ severity, site, message, remedy, source }) {
  return element(
    "li",
    {},
    element("p", {}, severity === "warning" ? badge("bad", "warning") : badge("waiting", "to know"), " ", site ? element("code", {}, site) : "", site ? ": " : "", message),
    remedy ? element("p", {}, `What to do: ${remedy}`) : "",
    source ? element("p", { class: "quiet small" }, source) : "",
  );
}
