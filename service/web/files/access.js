/** What a key may do, found out by asking: each scope has a question that tells nothing else. */

import { ask } from "./server.js";

const QUESTIONS = {
  review: { path: "v1/reviews/stats", may: "review: see the queue, claim and resolve" },
  predict: { path: "v1/models", may: "see the models and what they are made of" },
};

/**
 * Ask what the key of this tab may.
 *
 * @returns for each scope its words, and whether the key has it.
 */
export async function access(signal) {
  const found = await Promise.all(Object.entries(QUESTIONS).map(([scope, asked]) => granted(scope, asked, signal)));
  return Object.fromEntries(found);
}

async function granted(scope, { path, may }, signal) {
  try {
    await ask(path, { signal });
    return [scope, { may, granted: true }];
  } catch (refusal) {
    // Only these two speak of the key; an answer that failed otherwise was let through to fail.
    if (refusal.status === 401 || refusal.status === 0 || refusal.status === undefined) throw refusal;
    return [scope, { may, granted: refusal.status !== 403 }];
  }
}
