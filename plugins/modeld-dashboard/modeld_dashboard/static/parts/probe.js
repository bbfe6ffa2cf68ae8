// SPDX-License-Identifier: GPL-3.0-only
import { html, useRef, useState } from "../html.js";

/**
 * How a probe went: what it answered, after how long.
 *
 * @typedef {{status: number, text: string, latencyMs: number}} Outcome
 */

/**
 * A probe that can be sent again; a late response to an earlier one is dropped.
 *
 * @param {() => Promise<{status: number, text: string}>} ask
 * @returns {[Outcome | null, () => void]} the outcome, `null` while one waits; and a way to ask
 */
export function useProbe(ask) {
  const [outcome, setOutcome] = useState(/** @type {Outcome | null} */ (null));
  const latest = useRef(0);
  const check = () => {
    latest.current += 1;
    const number = latest.current;
    const begunMs = performance.now();
    setOutcome(null);
    ask()
      .catch(error => ({ status: 0, text: error.message }))
      .then(response => {
        if (number !== latest.current) return;
        setOutcome({ ...response, latencyMs: Math.round(performance.now() - begunMs) });
      });
  };
  return [outcome, check];
}

/** @param {{path: string, outcome: Outcome | null, testid: string}} props */
export function ProbeResult({ path, outcome, testid }) {
  const tone = outcome === null ? "quiet" : outcome.status === 200 ? "good" : "bad";
  return html`
    <div class="probe" role="status">
      <p class="state large" data-tone=${tone} data-testid=${testid}>
        ${outcome === null ? "asking" : wordOf(outcome.text)}
      </p>
      <p class="probe-facts">
        <code>GET ${path}</code>
        <span>${outcome?.status ? `status ${outcome.status}` : ""}</span>
        <span>${outcome === null ? "" : `${outcome.latencyMs} ms`}</span>
      </p>
    </div>
  `;
}

/**
 * The response's one word, or the message where it is an error body.
 *
 * @param {string} text
 */
function wordOf(text) {
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text;
  }
}
