// SPDX-License-Identifier: GPL-3.0-only
import { html, inputOf, useState, useStore } from "../html.js";
import { bytes, counted, NONE, whole } from "../logic/format.js";
import { hashOf } from "../logic/routes.js";
import { ModelActions, MoveProblem } from "../parts/model_actions.js";
import { ModelName } from "../parts/model_name.js";
import { ServerNotices } from "../parts/server_notices.js";

const HEADINGS = ["Model", "State", "Family", "Quantisation", "File", "Context"];

/**
 * All models that the server knows.
 *
 * @param {{app: import("../app.js").App}} props
 */
export function ModelsPage({ app }) {
  const state = useStore(app.server.store);
  const [wanted, setWanted] = useState("");
  const models = state.models ?? [];
  const found = models.filter(model => isLike(model, wanted));
  app.palette.see(heldModels(state.status));
  return html`
    <${ServerNotices} state=${state} />
    <section class="panel" aria-labelledby="models-title">
      <div class="panel-title">
        <h2 id="models-title">Models</h2>
        <span class="muted" role="status">
          ${wanted ? `${whole(found.length)} of ${counted(models.length, "model")}` : ""}
        </span>
      </div>
      <div class="actions">
        <label class="field filter">
          <span class="visually-hidden">Filter</span>
          <input
            type="search"
            placeholder="Filter by name, family or quantisation"
            data-testid="models-filter"
            value=${wanted}
            onInput=${(/** @type {Event} */ event) => setWanted(inputOf(event).value)}
          />
        </label>
        <${Refresh} app=${app} />
      </div>
      ${
        state.models !== null &&
        (models.length === 0
          ? html`<${NoModels} />`
          : html`<${ModelTable} app=${app} models=${found} status=${state.status} />`)
      }
    </section>
  `;
}

/** @param {{app: import("../app.js").App}} props */
function Refresh({ app }) {
  const [word, setWord] = useState("");
  const refresh = () => {
    setWord("looking");
    app.server.refreshModels().then(
      () => setWord("done"),
      error => setWord(error.message),
    );
  };
  return html`
    <button type="button" data-testid="models-refresh" onClick=${refresh}>Refresh</button>
    <span class="hint" role="status">${word}</span>
  `;
}

/**
 * @param {{
 *   app: import("../app.js").App,
 *   models: readonly Api.Model[],
 *   status: Api.Status | null,
 * }} props
 */
function ModelTable({ app, models, status }) {
  const instances = new Map(status?.instances.map(instance => [instance.model_id, instance]));
  if (models.length === 0) return html`<p class="empty">No model is like that.</p>`;
  return html`
    <table class="rows models" role="table" aria-labelledby="models-title" data-testid="models-table">
      <thead role="rowgroup">
        <tr role="row">
          ${HEADINGS.map(
            text => html`<th key=${text} scope="col" role="columnheader">${text}</th>`,
          )}
          <th scope="col" role="columnheader"><span class="visually-hidden">Actions</span></th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${models.map(
          model => html`
            <${ModelRow} key=${model.id} app=${app} model=${model} instance=${instances.get(model.id)} />
          `,
        )}
      </tbody>
    </table>
  `;
}

/**
 * @param {{
 *   app: import("../app.js").App,
 *   model: Api.Model,
 *   instance: Api.Instance | undefined,
 * }} props
 */
function ModelRow({ app, model, instance }) {
  const { id, name, problem } = model;
  const state = instance?.state ?? "absent";
  const less = instance?.fit?.gives_up ?? model.gives_up;
  const tone = { absent: "quiet", loading: "warn", ready: "good", draining: "warn", failed: "bad" };
  return html`
    <tr role="row" data-testid="instance-row" data-model=${id} data-state=${state}>
      <th scope="row" role="rowheader" class="cell-model">
        <${ModelName} model=${id} colour=${app.palette.colourOf(id)} />
        <span class="model-title">${name}</span>
        ${less && html`<span class="model-title" data-testid="model-fit">To fit: ${less}</span>`}
        ${problem && html`<span class="problem" data-testid="model-problem">${problem}</span>`}
      </th>
      <td role="cell" data-label="State">
        <span class="state" data-tone=${problem ? "bad" : tone[state]}>
          ${problem ? "unusable" : state}
        </span>
      </td>
      <td role="cell" data-label="Family">${model.family || NONE}</td>
      <td role="cell" data-label="Quantisation">${model.quant || NONE}</td>
      <td role="cell" data-label="File" class="number">${bytes(model.size_bytes)}</td>
      <td role="cell" data-label="Context" class="number">
        ${model.context_length ? `${whole(model.context_length)} tokens` : NONE}
      </td>
      <td role="cell" class="cell-actions">
        ${
          !problem &&
          html`
            <div class="row-actions">
              <${ModelActions}
                moves=${app.moves}
                model=${id}
                state=${state}
                pinned=${instance?.pinned ?? false}
              />
              <a class="button quiet" href=${hashOf("infer", id)} aria-label=${`Run ${id}`}>Run</a>
            </div>
          `
        }
      </td>
    </tr>
    <${MoveProblem} moves=${app.moves} model=${id} columns=${HEADINGS.length + 1} />
  `;
}

function NoModels() {
  return html`
    <p class="empty" data-testid="no-models">
      The server has found no models. Put <code>.gguf</code> files into its folder for models
      (<code>--models-dir</code>), then press Refresh.
    </p>
  `;
}

/**
 * @param {Api.Model} model
 * @param {string} wanted words that must all be somewhere
 */
function isLike({ id, name, family, quant }, wanted) {
  const text = `${id} ${name} ${family} ${quant}`.toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .every(word => text.includes(word));
}

/** @param {Api.Status | null} status */
function heldModels(status) {
  const held = status?.instances.filter(({ held_mb }) => held_mb > 0) ?? [];
  return held.map(({ model_id }) => model_id);
}
