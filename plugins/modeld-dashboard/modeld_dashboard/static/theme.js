// SPDX-License-Identifier: GPL-3.0-only
// Not a module: it runs before the page is painted, so that a chosen theme does not flash.
try {
  const chosen = localStorage.getItem("modeld-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is switched off: the system's theme it is.
}
