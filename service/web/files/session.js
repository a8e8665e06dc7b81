/** Who sits here: a key, and a name. They end with the browser's tab. */

const KEY = "unsure.key";
const REVIEWER = "unsure.reviewer";

/** The key, or null. */
export function key() {
  return sessionStorage.getItem(KEY);
}

/** Keep a key for this tab. */
export function keep(given) {
  sessionStorage.setItem(KEY, given);
}

/** Forget the key and the name. */
export function forget() {
  sessionStorage.removeItem(KEY);
  sessionStorage.removeItem(REVIEWER);
}

/** The reviewer's name; empty where none is given. */
export function reviewer() {
  return sessionStorage.getItem(REVIEWER) ?? "";
}

/** Keep the reviewer's name for this tab. */
export function call(name) {
  sessionStorage.setItem(REVIEWER, name.trim());
}
