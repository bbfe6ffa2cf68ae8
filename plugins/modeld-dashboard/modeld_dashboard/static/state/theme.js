// SPDX-License-Identifier: GPL-3.0-only
import { Store } from "./store.js";

const NAME = "modeld-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** @typedef {"light" | "dark"} Theme */

/** The theme that is shown: the chosen one, or else the system's. */
export const theme = new Store(current());

system.addEventListener("change", () => {
  theme.value = current();
});

/** Switch to the other theme and keep the choice for the next visit. */
export function toggleTheme() {
  const chosen = theme.value === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem(NAME, chosen);
  } catch {
    // Storage is switched off: the choice lasts as long as this page.
  }
  theme.value = chosen;
}

/** @returns {Theme} */
function current() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}
