// SPDX-License-Identifier: GPL-3.0-only
import { App } from "./app.js";
import { html, render, useEffect, useLayoutEffect, useState } from "./html.js";
import { PAGES, parseHash } from "./logic/routes.js";
import { HealthPage } from "./pages/health.js";
import { InferPage } from "./pages/infer.js";
import { ModelsPage } from "./pages/models.js";
import { OverviewPage } from "./pages/overview.js";
import { ReadyPage } from "./pages/ready.js";
import { StatusPage } from "./pages/status.js";
import { Header } from "./parts/header.js";
import { KeyForm } from "./parts/key_form.js";

const OFTEN_MS = 1000;
const SELDOM_MS = 5000;
const LIVELY = ["overview", "infer", "models"];

const VIEWS = {
  overview: OverviewPage,
  infer: InferPage,
  models: ModelsPage,
  status: StatusPage,
  health: HealthPage,
  ready: ReadyPage,
};

/** @param {{app: App}} props */
function Shell({ app }) {
  const [route, setRoute] = useState(() => parseHash(location.hash));
  useEffect(() => {
    const follow = () => setRoute(parseHash(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const title = PAGES.find(({ name }) => name === route.name)?.title ?? "";
  useLayoutEffect(() => {
    document.title = `${title} · modeld`;
  }, [title]);
  useEffect(() => {
    const isLively = LIVELY.includes(route.name);
    app.server.pollEvery(isLively ? OFTEN_MS : SELDOM_MS);
  }, [route.name]);
  return html`
    <${Header} app=${app} page=${route.name} />
    <main id="content" tabindex="-1">
      <h1 class="visually-hidden">${title}</h1>
      <${KeyForm} access=${app.access} />
      <${VIEWS[route.name]} app=${app} model=${route.model} />
    </main>
  `;
}

const isMock = new URLSearchParams(location.search).get("mock") === "1";
const app = isMock
  ? new App("mock", (await import("./server/mock.js")).mockTransport())
  : new App("live", fetch.bind(window));
const root = document.getElementById("app");
if (root) render(html`<${Shell} app=${app} />`, root);
