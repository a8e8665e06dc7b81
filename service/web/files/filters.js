/** Which items are listed, and in which order. */

import { element } from "./elements.js";

const STATUSES = { pending: "waiting", claimed: "claimed", resolved: "resolved", any: "all" };
const AUDITS = { "": "all", true: "audits", false: "flagged rows" };
const ORDERS = { uncertain: "least certain first", oldest: "oldest first" };

/** Read what an address asks for. */
export function wanted(values) {
  const chosen = (name, choices, usual) => (values.get(name) in choices ? values.get(name) : usual);
  return {
    status: chosen("status", STATUSES, "pending"),
    model: values.get("model") ?? "",
    order: chosen("order", ORDERS, ""),
    audit: chosen("audit", AUDITS, ""),
    limit: values.get("limit") === "200" ? "200" : "",
  };
}

/**
 * Make the form.
 *
 * @param asked what is asked for now.
 * @param list what there is: in which order, and whether nothing may tell which rows are audits.
 * @param models the names of those that have items.
 * @param changed is called with what is asked for then.
 */
export function filters(asked, list, models, changed) {
  const names = [...new Set([...models, ...(asked.model ? [asked.model] : [])])].sort();
  const byModel = { "": "all models", ...Object.fromEntries(names.map((name) => [name, name])) };
  const field = (name, label, choices, chosen = asked[name]) =>
    choice(`${name}-filter`, label, choices, chosen, (value) => changed({ ...asked, limit: "", [name]: value }));
  const blind = list.blind && asked.status !== "resolved";
  const audited = !blind && (asked.audit || list.reviews.some((review) => review.audit));
  return element(
    "form",
    { class: "filters", submit: (event) => event.preventDefault(), "aria-label": "Filter and order" },
    field("status", "Show", STATUSES),
    field("model", "Of", byModel),
    audited ? field("audit", "Rows", AUDITS) : null,
    field("order", "Order", blind ? { oldest: ORDERS.oldest } : ORDERS, list.order),
  );
}

function choice(id, label, choices, chosen, changed) {
  const options = Object.entries(choices).map(([value, text]) =>
    element("option", { value, selected: value === chosen }, text),
  );
  return element(
    "div",
    {},
    element("label", { for: id }, label),
    element("select", { id, change: (event) => changed(event.target.value) }, options),
  );
}
