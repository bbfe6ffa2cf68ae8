// SPDX-License-Identifier: GPL-3.0-only
import { html, useEffect, useStore } from "../html.js";
import { ComposeForm } from "../parts/compose_form.js";
import { GenerationView } from "../parts/generation_view.js";

/**
 * The playground: a request for text, and all that came back.
 *
 * @param {{app: import("../app.js").App, model: string}} props
 */
export function InferPage({ app, model }) {
  const { playground } = app;
  const { models } = useStore(app.server.store);
  useEffect(() => {
    if (model) playground.form.patch({ model });
  }, [model]);
  // The models are asked for anew when the server was started anew, or has got its key.
  useEffect(() => {
    if (models) playground.learnFields();
  }, [models]);
  useEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") playground.stop();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return html`
    <div class="infer">
      <${ComposeForm} playground=${playground} models=${models ?? []} />
      <${GenerationView} playground=${playground} server=${app.server} />
    </div>
  `;
}
