/** The view of the review queue: a list, and the item that is looked at. */

import { element } from "./elements.js";
import { filters, wanted } from "./filters.js";
import { itemPane } from "./item.js";
import { itemList } from "./item_list.js";
import { address } from "./router.js";
import { ask, path, query } from "./server.js";

let place = 0; // of the item in the list, for when it leaves the list
let all = []; // what the list holds by now

/**
 * Make the view.
 *
 * @param page shows another address, or this one anew: `{go, refresh}`.
 */
export function reviews(page) {
  return async ([id], values, signal) => {
    const asked = wanted(values);
    const [list, stats, item] = await Promise.all([listed(asked, signal), ask("v1/reviews/stats", { signal }), one(id, signal)]);
    all = list.reviews;
    place = found(id) >= 0 ? found(id) : place;
    const to = (review) => address(["reviews", review.id], asked);
    const pane = item === null ? { node: nothing(), keys: {}, focus: null } : itemPane(item, page);
    const shown = itemList(list, id, to, more(id, asked, page));
    return {
      title: item === null ? "Review queue" : `${item.review.model}, review`,
      room: "reviews",
      content: [
        element("h1", { class: id ? "wide-only" : null }, "Review queue"),
        element(
          "div",
          { class: `split ${id ? "one" : "many"}` },
          element("aside", { class: "queue", "aria-label": "Queue" }, filters(asked, list, models(stats), (given) => page.go(address(["reviews", ...(id ? [id] : [])], given))), shown),
          element("section", { class: "item", "aria-label": "Item" }, id ? back(asked) : null, pane.node),
        ),
      ],
      keys: { ...walk(id, to), ...pane.keys },
      focus: pane.focus,
      update: () => updated(asked, id, to, page),
      shown: () => document.querySelector(".queue [aria-current]")?.scrollIntoView({ block: "nearest" }),
    };
  };
}

/** Ask for the list; where audits hide among others, an old address may ask for what would tell them. */
async function listed(asked, signal) {
  try {
    return await ask(query("v1/reviews", asked), { signal });
  } catch (refusal) {
    if (refusal.status !== 403 || !(asked.order || asked.audit)) throw refusal;
    Object.assign(asked, { order: "", audit: "" });
    return ask(query("v1/reviews", asked), { signal });
  }
}

/** Give an item, with what its model is now; null where a key may not see models, or it is gone. */
async function one(id, signal) {
  if (!id) return null;
  const review = await ask(path("v1", "reviews", id), { signal });
  const model = await ask(path("v1", "models", review.model), { signal }).catch((refusal) => {
    if (refusal.status === undefined || refusal.status === 401) throw refusal;
    return null;
  });
  return { review, model: model?.version === review.version ? model : null };
}

function models(stats) {
  return [...new Set(stats.versions.map((version) => version.model))];
}

function nothing() {
  return element("p", { class: "quiet wide-only" }, all.length ? "Choose an item, or press n for the first." : "");
}

function found(id) {
  return all.findIndex((review) => review.id === id);
}

function back(asked) {
  return element("p", { class: "way narrow-only" }, element("a", { href: address(["reviews"], asked) }, "← Queue"));
}

function more(id, asked, page) {
  return () => page.go(address(["reviews", ...(id ? [id] : [])], { ...asked, limit: 200 }));
}

function walk(id, to) {
  const step = (review) => review && (location.hash = to(review));
  const next = () => step(found(id) >= 0 ? all[found(id) + 1] : all[id ? Math.min(place, all.length - 1) : 0]);
  const before = () => step(all[(found(id) >= 0 ? found(id) : Math.min(place, all.length)) - 1]);
  return {
    n: { says: "next item", does: next },
    p: { says: "previous item", does: before },
    j: { does: next },
    k: { does: before },
    f: { says: "filter", does: () => document.getElementById("status-filter")?.focus() },
  };
}

/** Bring the list up to date; the item stays as it is, since somebody may be writing. */
async function updated(asked, id, to, page) {
  const list = await listed(asked).catch(() => null);
  const old = document.querySelector(".queue .items");
  if (list === null || old === null) return;
  all = list.reviews;
  const held = document.activeElement?.closest(".items [data-id]")?.dataset.id;
  const fresh = itemList(list, id, to, more(id, asked, page));
  old.replaceWith(fresh);
  if (held) [...fresh.querySelectorAll("[data-id]")].find((link) => link.dataset.id === held)?.focus();
}
