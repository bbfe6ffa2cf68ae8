// SPDX-License-Identifier: GPL-3.0-only
import { html, useMemo, useStore } from "../html.js";
import { mib, rate, seconds, span, whole } from "../logic/format.js";
import { instanceName } from "../logic/instance_name.js";
import { memorySeries, stacked } from "../logic/memory_series.js";
import { memoryUse } from "../logic/memory_use.js";
import { firstTokenMedians, firstTokenSeries, speedSeries } from "../logic/request_series.js";
import { speedOf } from "../logic/speed.js";
import { Chart } from "../parts/chart.js";
import { EventsList } from "../parts/events_list.js";
import { InstanceTable } from "../parts/instance_table.js";
import { MemoryBar, sentence } from "../parts/memory_bar.js";
import { ServerNotices } from "../parts/server_notices.js";

const MOST_ABSENT = 5;
const SHORTEST_S = 300;
const MIB_STEPS = Array.from({ length: 24 }, (_, power) => 2 ** power);

/** @typedef {import("../state/server.js").ServerState} ServerState */

/**
 * The whole server at a glance.
 *
 * @param {{app: import("../app.js").App}} props
 */
export function OverviewPage({ app }) {
  const state = useStore(app.server.store);
  const { status, feed, samples } = state;
  if (!status) {
    return html`
      <${ServerNotices} state=${state} />
      ${!state.problem && html`<p class="empty">Waiting for the server.</p>`}
    `;
  }
  const shown = shownInstances(status.instances);
  const held = status.instances.filter(({ held_mb }) => held_mb > 0);
  app.palette.see(
    held.map(instanceName),
    feed.changes.map(({ model }) => model),
  );
  return html`
    <${ServerNotices} state=${state} />
    <${Figures} status=${status} samples=${samples} />
    <${MemoryPanel} app=${app} state=${state} status=${status} />
    <section class="panel" aria-labelledby="instances-title">
      <h2 id="instances-title">Models</h2>
      ${
        shown.length === 0
          ? html`<${NothingYet} models=${state.models} />`
          : html`
            <${InstanceTable}
              app=${app}
              instances=${shown}
              samples=${samples}
              firstTokens=${firstTokenMedians(feed.events)}
            />
            <${Others} count=${status.instances.length - shown.length} />
          `
      }
    </section>
    <div class="columns">
      <${SpeedPanel} app=${app} state=${state} />
      <${FirstTokenPanel} app=${app} state=${state} />
    </div>
    <${EventsList} events=${feed.events} palette=${app.palette} />
  `;
}

/** @param {{status: Api.Status, samples: ServerState["samples"]}} props */
function Figures({ status, samples }) {
  const { instances } = status;
  const sum = (/** @type {(instance: Api.Instance) => number} */ of) =>
    instances.reduce((total, instance) => total + of(instance), 0);
  /** @param {(instance: Api.Instance) => number} of */
  const requests = of => [whole(sum(of)), sum(of) === 1 ? "request" : "requests"];
  const speed = sum(instance => speedOf(samples, instanceName(instance)) ?? 0);
  const loaded = instances.filter(({ state }) => state === "ready").length;
  const figures = [
    ["Loaded", whole(loaded), loaded === 1 ? "model" : "models"],
    ["Running", ...requests(({ inflight }) => inflight)],
    ["Waiting", ...requests(({ queue_len }) => queue_len)],
    ["Speed", rate(speed), "tokens/s"],
    ["Left memory", whole(status.evictions_total), status.evictions_total === 1 ? "time" : "times"],
    ["Up for", span(status.uptime_seconds), ""],
  ];
  return html`
    <dl class="numbers panel strip">
      ${figures.map(
        ([name, value, unit]) => html`
          <div class="figure" key=${name}>
            <dt>${name}</dt>
            <dd><span class="figure-value">${value}</span> ${unit}</dd>
          </div>
        `,
      )}
    </dl>
  `;
}

/** @param {{app: import("../app.js").App, state: ServerState, status: Api.Status}} props */
function MemoryPanel({ app, state, status }) {
  const use = memoryUse(status);
  const nowUnix = app.server.nowUnix;
  const chart = useMemo(() => {
    const { times, held } = memorySeries(state.feed, nowUnix);
    const models = [...held.keys()].sort(
      (one, other) => app.palette.colourOf(one) - app.palette.colourOf(other),
    );
    const layers = models.map(model => held.get(model) ?? []);
    const edges = stacked(layers);
    const lines = models.map((model, at) => ({
      name: model,
      colour: app.palette.colourOf(model),
      drawn: edges[at] ?? [],
      said: layers[at] ?? [],
    }));
    return { times, lines };
  }, [state.feed, status]);
  return html`
    <section class="panel" aria-labelledby="memory-title">
      <div class="panel-title">
        <h2 id="memory-title">Memory</h2>
        <span class="muted" title=${status.budget_origin}>
          <b>${mib(use.usedMib)}</b> held of ${use.budgetMib === null ? "an unlimited budget" : mib(use.budgetMib)}
        </span>
      </div>
      <${MemoryBar} use=${use} palette=${app.palette} />
      <${Chart}
        testid="memory-chart"
        kind="layers"
        label=${`Memory held by each model over ${spanOf(state)}. Now ${sentence(use)}.`}
        times=${chart.times}
        lines=${chart.lines}
        range=${rangeOf(state, nowUnix)}
        note=${use.budgetMib === null ? "The budget is unlimited." : `Dashed: the budget, ${mib(use.budgetMib)}.`}
        steps=${MIB_STEPS}
        limit=${use.budgetMib}
        say=${mib}
      />
    </section>
  `;
}

/** @param {{app: import("../app.js").App, state: ServerState}} props */
function SpeedPanel({ app, state }) {
  const nowUnix = app.server.nowUnix;
  const spanS = state.feed.historyS;
  const chart = useMemo(() => {
    const clocks = { nowUnix, nowS: performance.now() / 1000, spanS };
    return coloured(app, speedSeries(state.feed.events, state.samples, clocks));
  }, [state.feed, state.samples]);
  return html`
    <section class="panel" aria-labelledby="speed-title">
      <h2 id="speed-title">Tokens per second</h2>
      <${Chart}
        testid="speed-chart"
        kind="lines"
        label=${`Tokens per second of each model over ${spanOf(state)}, averaged over 10 seconds.`}
        times=${chart.times}
        lines=${chart.lines}
        range=${rangeOf(state, nowUnix)}
        say=${(/** @type {number} */ value) => `${rate(value)} tokens/s`}
        sayAxis=${(/** @type {number} */ value) => `${value} t/s`}
        note="Averages of 10 seconds. t/s: tokens per second."
      />
    </section>
  `;
}

/** @param {{app: import("../app.js").App, state: ServerState}} props */
function FirstTokenPanel({ app, state }) {
  const nowUnix = app.server.nowUnix;
  const beginUnix = nowUnix - state.feed.historyS;
  const chart = useMemo(
    () => coloured(app, firstTokenSeries(state.feed.events, beginUnix)),
    [state.feed],
  );
  return html`
    <section class="panel" aria-labelledby="first-token-title">
      <h2 id="first-token-title">Time to first token</h2>
      <${Chart}
        testid="first-token-chart"
        kind="points"
        label=${`Time to the first token of each request over ${spanOf(state)}.`}
        times=${chart.times}
        lines=${chart.lines}
        range=${rangeOf(state, nowUnix)}
        logarithmic
        note="Each dot is one request. The scale is logarithmic."
        say=${seconds}
        sayAxis=${(/** @type {number} */ value) => (value < 1 ? `${value * 1000} ms` : `${value} s`)}
      />
    </section>
  `;
}

/** @param {{models: readonly Api.Model[] | null}} props */
function NothingYet({ models }) {
  if (models === null) return null;
  if (models.length === 0) {
    return html`
      <p class="empty" data-testid="no-models">
        The server has found no models. Put <code>.gguf</code> files into its folder for models
        (<code>--models-dir</code>), then press Refresh on the page <a href="#/models">Models</a>.
      </p>
    `;
  }
  return html`
    <p class="empty">
      No model is in memory or waited for. <a href="#/infer">Send a request</a>, or load one on the
      page <a href="#/models">Models</a>.
    </p>
  `;
}

/** @param {{count: number}} props */
function Others({ count }) {
  if (count === 0) return null;
  return html`
    <p class="hint">
      ${whole(count)} more that are not in memory: see <a href="#/models">Models</a>.
    </p>
  `;
}

/**
 * All models that are in memory or on their way, then the few that were used last.
 *
 * @param {readonly Api.Instance[]} instances
 */
function shownInstances(instances) {
  const byName = [...instances].sort((one, other) => (one.model_id < other.model_id ? -1 : 1));
  const here = byName.filter(({ state }) => state !== "absent");
  const absent = byName.filter(({ state }) => state === "absent");
  const kept = new Set(
    [...absent]
      .sort((one, other) => other.last_used_unix - one.last_used_unix)
      .slice(0, MOST_ABSENT),
  );
  return [...here, ...absent.filter(instance => kept.has(instance))];
}

/**
 * What the charts show: the last half hour, or less where the server has not run for so long.
 *
 * @param {ServerState} state
 * @param {number} nowUnix
 * @returns {[number, number]}
 */
function rangeOf({ status, feed }, nowUnix) {
  const lived = status?.uptime_seconds ?? 0;
  return [nowUnix - Math.min(feed.historyS, Math.max(SHORTEST_S, lived)), nowUnix];
}

/** @param {ServerState} state */
function spanOf(state) {
  const [begin, end] = rangeOf(state, 0);
  return `the last ${whole((end - begin) / 60)} minutes`;
}

/**
 * @param {import("../app.js").App} app
 * @param {import("../logic/request_series.js").ModelSeries} series
 */
function coloured(app, { times, values }) {
  const lines = [...values]
    .map(([name, drawn]) => ({ name, colour: app.palette.colourOf(name), drawn, said: drawn }))
    .sort((one, other) => one.colour - other.colour);
  return { times, lines };
}
