/** The view where somebody shows a key. */

import { access } from "./access.js";
import { badge, element } from "./elements.js";
import { notice } from "./refusals.js";
import * as session from "./session.js";

/**
 * Make the view.
 *
 * @param entered is called with what the key may, once the server has taken it.
 */
export function signIn(entered) {
  return async (_parts, values, signal) => ({
    title: "Sign in",
    focus: session.key() !== null ? null : session.reviewer() ? "#key" : "#name",
    content: session.key() === null ? form(values.get("why"), entered) : await signedIn(signal),
  });
}

function form(why, entered) {
  const key = element("input", { id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const name = element("input", { id: "name", autocomplete: "username", value: session.reviewer(), maxlength: "80" });
  const trouble = element("div", { id: "trouble" });
  const button = element("button", { class: "strong" }, "Sign in");
  const submitted = async (event) => {
    event.preventDefault();
    button.disabled = true;
    trouble.replaceChildren();
    try {
      await tried(key.value.trim(), name.value, entered);
    } catch (refusal) {
      session.forget();
      trouble.replaceChildren(notice(refusal));
      button.disabled = false;
      key.select();
    }
  };
  return [
    element("h1", {}, "Sign in"),
    why === "refused" ? element("p", { role: "alert" }, "The server does not take your key any more: it has ended, or was taken back.") : null,
    element(
      "form",
      { class: "narrow", submit: submitted },
      element("p", {}, "This server asks for a key. Whoever runs it makes keys, and says what yours may do."),
      element("label", { for: "name" }, "Your name ", element("span", { class: "quiet" }, "stands beside your reviews")),
      name,
      element("label", { for: "key" }, "Key"),
      key,
      trouble,
      button,
      element("p", { class: "quiet" }, "The key stays in this tab, and is forgotten with it."),
    ),
  ].filter(Boolean);
}

async function tried(key, name, entered) {
  session.keep(key);
  const found = await access();
  session.call(name);
  entered(found);
}

async function signedIn(signal) {
  const scopes = Object.values(await access(signal));
  const lines = scopes.map(({ may, granted }) =>
    element("li", {}, granted ? badge("good", "may") : badge("bad", "may not"), ` ${may}`),
  );
  return [
    element("h1", {}, "Your key"),
    element("ul", { class: "plain" }, lines),
    element("p", { class: "quiet" }, "Another key: sign out first."),
  ];
}
