/** Which view the address names, and how one gives way to the next. */

import { element } from "./elements.js";
import { heading, notice } from "./refusals.js";

const PASSING = new Set([0, 503]); // no answer, and not now
const AGAIN_MILLISECONDS = 5000;

/** Read an address behind "#": its parts, and its query. */
export function read(hash) {
  const [where, values = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { parts: where.split("/").filter(Boolean).map(decoded), values: new URLSearchParams(values) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Write an address. */
export function address(parts, values = {}) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

/**
 * Shows views in an element.
 *
 * A view is a function of (parts, values, signal) that gives {title, room, content, keys, focus}.
 */
export class Router {
  #main;
  #views;
  #refused;
  #leaving = new AbortController();
  #where = "";
  page = { keys: {} };

  /**
   * @param main where views stand.
   * @param views by the first part of an address.
   * @param refused is told of every refusal, and says whether it has dealt with it.
   */
  constructor(main, views, refused) {
    this.#main = main;
    this.#views = views;
    this.#refused = refused;
    window.addEventListener("hashchange", () => this.show());
  }

  /** Go to an address; shows it anew where it is the present one. */
  async go(where) {
    if (location.hash === where) await this.show();
    else location.hash = where;
  }

  /** Show what the address names. What is there stays until the next is whole. */
  async show() {
    this.#leaving.abort();
    const leaving = (this.#leaving = new AbortController());
    this.#main.setAttribute("aria-busy", "true");
    const { parts, values } = read(location.hash);
    const page = await this.#made(parts, values, leaving.signal);
    if (leaving.signal.aborted || page === null) return;
    this.page = { keys: {}, ...page };
    this.#put(page);
  }

  async #made(parts, values, signal) {
    const view = this.#views[parts[0] ?? ""] ?? missing;
    try {
      return await view(parts.slice(1), values, signal);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return null;
      if (error.status === undefined) throw error;
      if (this.#refused(error)) return null;
      return this.#failed(error, signal);
    }
  }

  /** Tell a refusal in place of the view; one that passes is waited out, for as long as nobody goes elsewhere. */
  #failed(error, signal) {
    const content = [element("h1", {}, heading(error)), notice(error, false)];
    if (!PASSING.has(error.status)) return { title: heading(error), content };
    content.push(element("p", { class: "quiet" }, "This page looks again by itself every few seconds."));
    const shown = () => setTimeout(() => signal.aborted || this.show(), AGAIN_MILLISECONDS);
    return { title: heading(error), content, shown };
  }

  #put(page) {
    const moved = this.#where !== location.hash;
    const held = document.activeElement?.id;
    this.#where = location.hash;
    this.#main.replaceChildren(...page.content);
    this.#main.removeAttribute("aria-busy");
    document.title = `${page.title} – unsure`;
    for (const link of document.querySelectorAll("nav [data-room]")) {
      if (link.dataset.room === page.room) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    page.shown?.();
    focused(this.#main, held, page, moved);
  }
}

/** The focus stays where it was, if that is still there; else it goes where the view wants it, or to the heading. */
function focused(main, held, page, moved) {
  const same = held ? document.getElementById(held) : null;
  const target = same ?? (page.focus ? main.querySelector(page.focus) : null);
  if (target !== null) target.focus({ preventScroll: moved });
  else if (moved || document.activeElement === document.body) {
    const first = main.querySelector("h1");
    first?.setAttribute("tabindex", "-1");
    first?.focus({ preventScroll: true });
    if (moved) window.scrollTo(0, 0);
  }
}

async function missing() {
  const home = element("a", { href: "#/reviews" }, "the review queue");
  const text = element("p", {}, "This page has nothing at that address. Go to ", home, ".");
  return { title: "Not there", content: [element("h1", {}, "Not there"), text] };
}
