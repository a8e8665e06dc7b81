/** Starts the page: joins address, views, keys and figures. */

import { Figures } from "./figures.js";
import { Keyboard } from "./keys.js";
import { model } from "./model.js";
import { models } from "./models.js";
import { reviews } from "./reviews.js";
import { Router } from "./router.js";
import * as session from "./session.js";
import { signIn } from "./sign_in.js";
import { say } from "./status.js";

const SIGN_IN = "#/sign-in";
const HOME = "#/reviews";
let destination = HOME;

const page = { go: (where) => router.go(where), refresh: () => router.show(), moved: () => figures.refresh() };
const list = models(page);
const router = new Router(
  document.getElementById("main"),
  {
    reviews: reviews(page),
    models: (parts, ...rest) => (parts.length ? model(parts, ...rest) : list(parts, ...rest)),
    "sign-in": signIn(entered),
  },
  refused,
);
const figures = new Figures(document.getElementById("figures"), () => router.page.update?.());
const keyboard = new Keyboard(() => router.page.keys);

document.getElementById("help").addEventListener("click", () => keyboard.help());
document.getElementById("sign-out").addEventListener("click", () => {
  leave();
  router.go(SIGN_IN);
  say("Signed out.");
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // an address behind "#" names a view
  document.getElementById("main").focus();
});

/** Without a key that the server takes there is one place to be. */
function refused(refusal) {
  if (refusal.status !== 401) return false;
  const had = session.key() !== null;
  if (!location.hash.startsWith(SIGN_IN)) destination = location.hash;
  leave();
  router.go(had ? `${SIGN_IN}?why=refused` : SIGN_IN);
  return true;
}

function entered(access) {
  const may = Object.values(access).filter(({ granted }) => granted).map((one) => one.may);
  say(may.length ? `Signed in. This key may ${may.join("; and ")}.` : "Signed in, but this key may do nothing here.");
  tell();
  figures.restart();
  router.go(destination);
}

function leave() {
  session.forget();
  tell();
  document.getElementById("figures").replaceChildren();
}

function tell() {
  document.getElementById("sign-out").hidden = session.key() === null;
}

tell();
if (!location.hash) history.replaceState(null, "", HOME);
router.show();
figures.restart();
