// SPDX-License-Identifier: GPL-3.0-only

/** @typedef {"overview" | "infer" | "models" | "status" | "health" | "ready"} PageName */

/** @type {readonly {name: PageName, title: string, hash: string}[]} */
export const PAGES = [
  { name: "overview", title: "Overview", hash: "#/" },
  { name: "infer", title: "Infer", hash: "#/infer" },
  { name: "models", title: "Models", hash: "#/models" },
  { name: "status", title: "Status", hash: "#/status" },
  { name: "health", title: "Health", hash: "#/health" },
  { name: "ready", title: "Ready", hash: "#/ready" },
];

/**
 * Which page a hash stands for; an unknown one is the first page. `?model=` may follow the path.
 *
 * @param {string} hash
 * @returns {{name: PageName, model: string}}
 */
export function parseHash(hash) {
  const [path = "", query = ""] = hash.split("?", 2);
  const plain = path.length > 2 ? path.replace(/\/$/, "") : "#/";
  const page = PAGES.find(page => page.hash === plain);
  return {
    name: page?.name ?? "overview",
    model: new URLSearchParams(query).get("model") ?? "",
  };
}

/**
 * @param {PageName} name
 * @param {string} [model]
 * @returns {string}
 */
export function hashOf(name, model = "") {
  const hash = PAGES.find(page => page.name === name)?.hash ?? "#/";
  return model ? `${hash}?${new URLSearchParams({ model })}` : hash;
}
