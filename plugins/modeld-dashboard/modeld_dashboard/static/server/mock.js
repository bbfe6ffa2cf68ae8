// SPDX-License-Identifier: GPL-3.0-only
import { MOCK_DOCUMENT } from "./mock_document.js";
import { MockWorld } from "./mock_world.js";

const FIRST_TOKEN_MS = 120;
const TOKEN_MS = 40;
const GENERATION = [
  "This",
  " answer",
  " was",
  " invented",
  " by",
  " the",
  " page",
  ":",
  " no",
  " model",
  " has",
  " run",
  ".",
];

/**
 * Answers as a server would, from an invented world and without any network.
 *
 * @returns {import("./client.js").Transport}
 */
export function mockTransport() {
  const world = new MockWorld(Date.now() / 1000);
  let requests = 0;
  return async (path, init) => {
    requests += 1;
    const url = new URL(path, "http://mock/ui/");
    const method = init.method ?? "GET";
    const headers = { "X-Request-ID": `mock-${requests}` };
    const response = await respond(world, method, url, init);
    if (response instanceof Response) {
      response.headers.set("X-Request-ID", headers["X-Request-ID"]);
      return response;
    }
    return new Response(JSON.stringify(response), { headers });
  };
}

/**
 * @param {MockWorld} world
 * @param {string} method
 * @param {URL} url
 * @param {RequestInit} init
 * @returns {Promise<unknown>} a document, or a whole response
 */
async function respond(world, method, url, init) {
  world.advance(Date.now() / 1000);
  const move = url.pathname.match(/^\/models\/([^/]+)\/(load|unload|pin|unpin)$/);
  if (method === "POST" && move) {
    const id = decodeURIComponent(move[1] ?? "");
    if (!world.knows(id)) return notFound(id);
    await world.move(id, /** @type {"load"} */ (move[2]));
    return { model: id };
  }
  switch (`${method} ${url.pathname}`) {
    case "GET /models":
    case "POST /models/refresh":
      return { models: world.models };
    case "GET /status":
      return statusPage(world.status(), url.searchParams);
    case "GET /openapi.json":
      return MOCK_DOCUMENT;
    case "GET /ui/feed":
      return world.feed(Number(url.searchParams.get("after")));
    case "GET /healthz":
      return new Response("ok\n");
    case "GET /readyz":
      return ready(world, url.searchParams.get("model"));
    case "POST /infer":
      return infer(world, JSON.parse(String(init.body)), init.signal ?? null);
    default:
      return problem(404, "not_found", "there is nothing at this address");
  }
}

/**
 * @param {Api.Status} status
 * @param {URLSearchParams} query
 */
function statusPage(status, query) {
  const [limit, after] = [Number(query.get("limit") ?? 100), query.get("after") ?? ""];
  const instances = status.instances
    .filter(({ model_id }) => model_id > after)
    .sort((one, other) => (one.model_id < other.model_id ? -1 : 1));
  return { ...status, instances: instances.slice(0, limit) };
}

/**
 * @param {MockWorld} world
 * @param {string | null} model
 */
function ready(world, model) {
  if (model && !world.knows(model)) return notFound(model);
  const isReady = model ? world.isReady(model) : world.models.some(({ id }) => world.isReady(id));
  return new Response(isReady ? "ready\n" : "loading\n", { status: isReady ? 200 : 503 });
}

/**
 * @param {MockWorld} world
 * @param {Record<string, any>} body
 * @param {AbortSignal | null} signal
 */
async function infer(world, body, signal) {
  const id = body.model ?? world.models[0]?.id ?? "";
  if (!world.knows(id)) return notFound(id);
  const broken = world.models.find(model => model.id === id)?.problem;
  if (broken) return problem(422, "invalid_model", `model '${id}' cannot be used: ${broken}`);
  const prompt = body.prompt ?? body.messages?.at(-1)?.content ?? "";
  if (!prompt) return problem(400, "prompt_required", "the prompt is empty", "prompt");
  const tokens = GENERATION.slice(0, body.max_tokens ?? GENERATION.length);
  world.answered(id, tokens.length);
  const done = {
    done: true,
    content: tokens.join(""),
    finish_reason: tokens.length < GENERATION.length ? "length" : "stop",
    usage: usage(prompt, tokens.length),
  };
  await pause(FIRST_TOKEN_MS, signal);
  if (body.stream === false) {
    await pause(TOKEN_MS * tokens.length, signal);
    return done;
  }
  const headers = { "Content-Type": "application/x-ndjson" };
  return new Response(stream(tokens, done, signal), { headers });
}

/**
 * @param {readonly string[]} tokens
 * @param {object} done
 * @param {AbortSignal | null} signal
 * @returns {ReadableStream<Uint8Array>}
 */
function stream(tokens, done, signal) {
  const lines = [...tokens.map(token => ({ token })), done];
  const encoder = new TextEncoder();
  let next = 0;
  return new ReadableStream({
    async pull(controller) {
      if (next > 0) await pause(TOKEN_MS, signal);
      controller.enqueue(encoder.encode(`${JSON.stringify(lines[next])}\n`));
      next += 1;
      if (next === lines.length) controller.close();
    },
  });
}

/**
 * @param {string} prompt
 * @param {number} completion
 */
function usage(prompt, completion) {
  const count = prompt.split(/\s+/).length;
  return {
    prompt_tokens: count,
    completion_tokens: completion,
    cached_tokens: 0,
    total_tokens: count + completion,
  };
}

/** @param {string} id */
function notFound(id) {
  return problem(404, "model_not_found", `there is no model '${id}'`, "model");
}

/**
 * @param {number} code
 * @param {string} reason
 * @param {string} error
 * @param {string} [field]
 */
function problem(code, reason, error, field) {
  return new Response(JSON.stringify({ error, code, reason, field }), { status: code });
}

/**
 * @param {number} durationMs
 * @param {AbortSignal | null} signal
 * @returns {Promise<void>}
 */
function pause(durationMs, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("the request was given up", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, durationMs);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
