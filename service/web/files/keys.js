/** Single keys that do what buttons do, and the list of them. */

import { element } from "./elements.js";

const OFF = "unsure.keys-off";
const WAIT_MS = 1500; // for the second key of two

const EVERYWHERE = {
  "g q": { says: "go to the review queue", does: () => (location.hash = "#/reviews") },
  "g m": { says: "go to the models", does: () => (location.hash = "#/models") },
};

/** Listens for keys, and passes them to the present view. */
export class Keyboard {
  #keys;
  #before = "";
  #at = 0;

  /** @param keys gives the view's own keys: `{key: {says, does}}`. */
  constructor(keys) {
    this.#keys = keys;
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || writes(event.target)) return;
    if (localStorage.getItem(OFF) !== null) return;
    const action = this.#action(event);
    if (action === undefined) return;
    event.preventDefault();
    action.does();
  }

  #action(event) {
    const all = { ...EVERYWHERE, "?": { does: () => this.help() }, ...this.#keys() };
    const pair = event.timeStamp - this.#at < WAIT_MS ? `${this.#before} ${event.key}` : "";
    [this.#before, this.#at] = [event.key, event.timeStamp];
    return all[pair] ?? all[event.key];
  }

  /** Show the list. */
  help() {
    const dialog = element("dialog", { "aria-labelledby": "keys-heading" });
    dialog.append(
      element("h2", { id: "keys-heading" }, "Keys"),
      list("On this page", this.#keys()),
      list("Everywhere", { ...EVERYWHERE, "?": { says: "show this list" } }),
      off(),
      element("form", { method: "dialog" }, element("button", { class: "strong", autofocus: true }, "Close")),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}

function writes(target) {
  return target instanceof Element && target.closest("textarea, select, input:not([type=radio], [type=checkbox])") !== null;
}

function list(heading, keys) {
  const shown = Object.entries(keys).filter(([, { says }]) => says);
  if (!shown.length) return "";
  const rows = shown.map(([key, { says }]) =>
    element("div", {}, element("dt", {}, key.split(" ").map((one) => element("kbd", {}, one))), element("dd", {}, says)),
  );
  return element("section", {}, element("h3", {}, heading), element("dl", { class: "keys" }, rows));
}

/** Who speaks to the computer, or leans on its keys, must be able to turn single keys off. */
function off() {
  const changed = (event) => {
    if (event.target.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "");
  };
  const box = element("input", { type: "checkbox", checked: localStorage.getItem(OFF) === null, change: changed });
  return element("label", { class: "choice" }, box, " single keys work");
}
