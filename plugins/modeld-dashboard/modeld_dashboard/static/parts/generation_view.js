// SPDX-License-Identifier: GPL-3.0-only
import { html, useEffect, useLayoutEffect, useRef, useStore } from "../html.js";
import { NONE, rate, seconds, whole } from "../logic/format.js";
import { tokensPerSecond } from "../logic/generation.js";
import { waitText } from "../logic/waiting.js";

/** @typedef {import("../logic/generation.js").Generation} Generation */

/**
 * The generation as it comes, its numbers, and what went over the wire.
 *
 * @param {{
 *   playground: import("../state/playground.js").Playground,
 *   server: import("../state/server.js").Server,
 * }} props
 */
export function GenerationView({ playground, server }) {
  const generation = useStore(playground.generation);
  return html`
    <div class="outcome">
      <section class="panel" aria-labelledby="generation-title">
        <div class="panel-title">
          <h2 id="generation-title">Generation</h2>
          <span class="phase" data-phase=${generation.phase} role="status" data-testid="status">
            ${generation.phase}
          </span>
        </div>
        <${Numbers} generation=${generation} />
        <${Trouble} generation=${generation} />
        ${
          generation.phase === "requesting" &&
          generation.firstTokenMs === null &&
          html`<${Wait} server=${server} model=${generation.model} />`
        }
        ${
          generation.reasoning &&
          html`<details class="reasoning" open>
            <summary>Reasoning</summary>
            <div data-testid="reasoning">${generation.reasoning}</div>
          </details>`
        }
        <div class="generation" data-testid="generation" tabindex="0" role="group" aria-label="Text">
          ${generation.text}
        </div>
        ${generation.calls.length > 0 && html`<${Calls} calls=${generation.calls} />`}
      </section>
      <section class="panel" aria-labelledby="wire-title">
        <h2 id="wire-title">On the wire</h2>
        <div class="wire">
          <${Stream} log=${generation.log} />
          <div class="wire-part">
            <h3 id="result-title">Result</h3>
            <pre tabindex="0" aria-labelledby="result-title" role="group" data-testid="result-json">
              ${generation.result}
            </pre>
          </div>
        </div>
      </section>
    </div>
  `;
}

/**
 * The tools that the model calls; the client has to run them.
 *
 * @param {{calls: Generation["calls"]}} props
 */
function Calls({ calls }) {
  return html`
    <h3 id="calls-title">Tool calls</h3>
    <ul class="calls" aria-labelledby="calls-title" data-testid="tool-calls">
      ${calls.map(
        (call, index) => html`<li key=${index}><code>${call.name}(${call.arguments})</code></li>`,
      )}
    </ul>
  `;
}

/** @param {{generation: Generation}} props */
function Numbers({ generation }) {
  const { startedMs, firstTokenMs, endedMs, usage, finishReason } = generation;
  const first = firstTokenMs === null ? null : firstTokenMs - startedMs;
  const total = endedMs === null ? null : endedMs - startedMs;
  return html`
    <dl class="numbers">
      <${Figure} name="First token" unit="ms" testid="first-token-ms" value=${milliseconds(first)} />
      <${Figure} name="Total" unit="ms" testid="latency-ms" value=${milliseconds(total)} />
      <${Figure}
        name="Speed"
        unit="tokens/s"
        testid="tokens-per-second"
        value=${rate(tokensPerSecond(generation))}
      />
      <${Figure} name="Prompt" unit="tokens" testid="prompt-tokens" value=${count(usage?.prompt_tokens)} />
      <${Figure} name="Cached" unit="tokens" testid="cached-tokens" value=${count(usage?.cached_tokens)} />
      <${Figure}
        name="Generation"
        unit="tokens"
        testid="completion-tokens"
        value=${count(usage?.completion_tokens)}
      />
      <${Figure} name="Finish" unit="" testid="finish-reason" value=${finishReason ?? NONE} />
    </dl>
  `;
}

/** @param {{name: string, unit: string, testid: string, value: string}} props */
function Figure({ name, unit, testid, value }) {
  return html`
    <div class="figure">
      <dt>${name}</dt>
      <dd><span class="figure-value" data-testid=${testid}>${value}</span> ${unit}</dd>
    </div>
  `;
}

/** @param {{server: import("../state/server.js").Server, model: string}} props */
function Wait({ server, model }) {
  const { status } = useStore(server.store);
  useEffect(() => server.pollNow(), []);
  return html`
    <p class="notice" data-tone="quiet" role="status" data-testid="wait">
      ${waitText(status, model)}
    </p>
  `;
}

/** @param {{generation: Generation}} props */
function Trouble({ generation: { problem, stopped } }) {
  if (stopped) return html`<p class="notice" data-tone="quiet">Stopped. The server was told.</p>`;
  if (!problem) return null;
  const facts = [
    problem.code ? `${problem.code} ${problem.reason}` : problem.reason,
    problem.retryAfterS ? `try again in ${seconds(problem.retryAfterS)}` : "",
    problem.requestId ? `request ${problem.requestId}` : "",
  ];
  return html`
    <div class="notice" data-tone="bad" role="alert">
      <p data-testid="error-text">${problem.error}</p>
      <p class="notice-facts">${facts.filter(fact => fact !== "").join(" · ")}</p>
    </div>
  `;
}

/**
 * The lines as they come; it follows them unless one has scrolled up to read.
 *
 * @param {{log: string}} props
 */
function Stream({ log }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const follows = useRef(true);
  useLayoutEffect(() => {
    if (box.current && follows.current) box.current.scrollTop = box.current.scrollHeight;
  }, [log]);
  const onScroll = () => {
    const at = box.current;
    if (at) follows.current = at.scrollHeight - at.scrollTop - at.clientHeight < 24;
  };
  return html`
    <div class="wire-part">
      <h3 id="log-title">Stream</h3>
      <pre
        ref=${box}
        tabindex="0"
        role="group"
        aria-labelledby="log-title"
        data-testid="stream-log"
        onScroll=${onScroll}
      >${log}</pre>
    </div>
  `;
}

/** @param {number | null} durationMs */
function milliseconds(durationMs) {
  return durationMs === null ? NONE : String(Math.round(durationMs));
}

/** @param {number | undefined} tokens */
function count(tokens) {
  return tokens === undefined ? NONE : whole(tokens);
}
