// SPDX-License-Identifier: GPL-3.0-only
// An invented server with a past: what it shows depends on the time alone, second by second.
import { Actor, INVENTED, SCRIPT } from "./mock_cast.js";

const MIB = 2 ** 20;
const PAST_S = 1800;
const CYCLE_S = 240;
const BUDGET_MB = 8192;
const MARGIN_MB = 256;
const MOST_EVENTS = 512;

const REFUSED_AT_S = 64;
const CRASH_AT_S = 200;

/** A server that is not there. Call `advance` before asking it anything. */
export class MockWorld {
  #actors = INVENTED.map(about => new Actor(about));
  /** @type {Api.Event[]} */
  #events = [];
  /** @type {(Api.MemoryChange & {sequence: number})[]} */
  #changes = [];
  #sequence = 0;
  #evictions = 0;
  #epoch;
  #tick = 0;

  /** @param {number} nowUnix */
  constructor(nowUnix) {
    this.#epoch = Math.floor(nowUnix) - PAST_S;
    this.#actor(INVENTED[0]?.id ?? "").pinned = true;
    this.advance(nowUnix);
  }

  /** @returns {Api.Model[]} */
  get models() {
    return INVENTED.map(({ id, name, quant, family, fileMb, problem }) => ({
      id,
      name,
      path: `/models/${id}`,
      quant,
      family,
      size_bytes: fileMb * MIB,
      ...(problem ? { problem } : { context_length: 8192 }),
    }));
  }

  /** @param {string} id */
  knows(id) {
    return INVENTED.some(about => about.id === id);
  }

  /** @param {string} id */
  isReady(id) {
    return this.#actor(id).state === "ready";
  }

  /** @param {number} nowUnix */
  advance(nowUnix) {
    while (this.#tick < Math.floor(nowUnix) - this.#epoch) {
      this.#tick += 1;
      this.#step();
    }
  }

  /**
   * @param {string} id
   * @param {"load" | "unload" | "pin" | "unpin"} verb
   */
  async move(id, verb) {
    const actor = this.#actor(id);
    actor.wasAsked = true;
    if (verb === "pin" || verb === "unpin") actor.pinned = verb === "pin";
    else if (verb === "unload") this.#leave(actor, "unload_requested");
    else await this.#loaded(actor);
  }

  /**
   * @param {string} id
   * @param {number} tokens
   */
  answered(id, tokens) {
    const actor = this.#actor(id);
    actor.wasAsked = true;
    if (actor.state === "absent") this.#arrive(actor);
    this.#finish(actor, tokens);
  }

  /** @returns {Api.Status} */
  status() {
    const actors = this.#actors.filter(actor => actor.wasAsked);
    const instances = actors
      .filter(({ state, pinned }) => state !== "absent" || pinned)
      .map(actor => this.#instance(actor));
    return {
      state: "running",
      instances,
      instances_total: instances.length,
      budget_mb: BUDGET_MB,
      budget_origin: "memory_budget_mb",
      held_mb: this.#held(),
      margin_mb: MARGIN_MB,
      loads_total: actors.reduce((sum, { loads }) => sum + loads, 0),
      evictions_total: this.#evictions,
      prompt_tokens_total: 0,
      completion_tokens_total: actors.reduce((sum, { tokens }) => sum + tokens, 0),
      warmups_in_progress: actors.filter(({ state }) => state === "loading").length,
      draining_count: 0,
      warm_workers: 1,
      uptime_seconds: this.#tick,
      server_time_unix: this.#now(),
    };
  }

  /**
   * @param {number} after
   * @returns {Api.Feed}
   */
  feed(after) {
    const changes = this.#changes.filter(change => change.sequence > after);
    return {
      feed: "mock",
      sequence: this.#sequence,
      server_time_unix: this.#now(),
      events: this.#events.filter(event => event.sequence > after),
      memory: {
        history_s: PAST_S,
        held_before: {},
        changes: changes.map(({ sequence: _, ...change }) => change),
      },
    };
  }

  #step() {
    const second = this.#tick % CYCLE_S;
    const wanted = this.#actors.find(({ about }) => about.id === SCRIPT.get(second));
    if (wanted) {
      wanted.wasAsked = true;
      if (wanted.state === "absent") this.#arrive(wanted);
    }
    if (second === REFUSED_AT_S) this.#refuse();
    if (second === CRASH_AT_S) this.#crashOrLeave();
    for (const actor of this.#actors) this.#work(actor);
  }

  /** @param {Actor} actor */
  #work(actor) {
    if (actor.state === "loading" && this.#tick >= actor.readyAt) this.#ready(actor);
    if (actor.state !== "ready") return;
    const { perSecond, everyS } = actor.about;
    const swell = 1 + 0.18 * Math.sin(this.#tick / 17) + 0.07 * Math.sin(this.#tick / 3);
    actor.tokens += Math.round(perSecond * swell);
    if (this.#tick % everyS === 0) this.#finish(actor, Math.round(perSecond * everyS * 0.8));
  }

  /** @param {Actor} actor */
  #arrive(actor) {
    const room = () => BUDGET_MB - MARGIN_MB - this.#held() >= actor.about.heldMb;
    const idle = this.#actors
      .filter(other => other.state === "ready" && !other.pinned)
      .sort((one, other) => other.heldMb - one.heldMb);
    for (const victim of idle) {
      if (!room()) this.#leave(victim, "make_room");
    }
    actor.state = "loading";
    actor.readyAt = this.#tick + actor.about.loadS;
    this.#tell({ kind: "model_loading", model: actor.about.id });
  }

  /** @param {Actor} actor */
  #ready(actor) {
    const { id, loadS, heldMb } = actor.about;
    actor.state = "ready";
    actor.loads += 1;
    const held_bytes = heldMb * MIB;
    this.#tell({ kind: "model_loaded", model: id, seconds: loadS * 0.93, held_bytes });
    this.#hold(id, held_bytes);
  }

  /**
   * @param {Actor} actor
   * @param {string} reason
   */
  #leave(actor, reason) {
    if (actor.state === "absent") return;
    const { id, heldMb } = actor.about;
    actor.state = "absent";
    this.#evictions += 1;
    this.#tell({ kind: "model_evicted", model: id, reason, freed_bytes: heldMb * MIB });
    this.#hold(id, 0);
  }

  /** @param {Actor} actor */
  async #loaded(actor) {
    if (actor.state === "absent") this.#arrive(actor);
    while (actor.state === "loading") {
      await new Promise(resolve => setTimeout(resolve, 100));
      this.advance(Date.now() / 1000);
    }
  }

  #refuse() {
    this.#tell({
      kind: "request_refused",
      model: INVENTED[0]?.id ?? "",
      request_id: `mock-${this.#tick}`,
      reason: "queue_full",
    });
  }

  #crashOrLeave() {
    const actor = this.#actors.find(({ about }) => about.id.startsWith("tern"));
    if (actor?.state !== "ready" || actor.pinned) return;
    if (Math.floor(this.#tick / CYCLE_S) % 4 !== 2) {
      this.#leave(actor, "unload_requested");
      return;
    }
    const detail = "the model's process ended: signal SIGKILL";
    actor.lastError = detail;
    this.#tell({ kind: "worker_exited", model: actor.about.id, cause: "signal", detail });
    this.#leave(actor, "worker_exited");
  }

  /**
   * @param {Actor} actor
   * @param {number} tokens
   */
  #finish(actor, tokens) {
    const { id, perSecond, firstTokenS } = actor.about;
    const first_token_s = firstTokenS * (1 + 0.35 * Math.sin(this.#tick * 1.7));
    actor.promptTokens += 40;
    actor.lastUsed = this.#now();
    this.#tell({
      kind: "request_finished",
      model: id,
      request_id: `mock-${this.#sequence}`,
      outcome: "stop",
      seconds: first_token_s + tokens / perSecond,
      first_token_s,
      prompt_tokens: 40,
      completion_tokens: tokens,
    });
  }

  /**
   * @param {Actor} actor
   * @returns {Api.Instance}
   */
  #instance(actor) {
    const ready = actor.state === "ready";
    const busy = ready ? 1 + (Math.floor(this.#tick / actor.about.everyS) % 4) : 0;
    return {
      model_id: actor.about.id,
      state: actor.state,
      last_used_unix: actor.lastUsed,
      held_mb: actor.heldMb,
      queue_len: busy === 4 ? this.#tick % 3 : 0,
      inflight: busy,
      max_queue_depth: 32,
      slots: 4,
      pinned: actor.pinned,
      priority: 0,
      ...(actor.state === "absent" ? {} : { pid: 4200 + actor.about.heldMb }),
      loads_total: actor.loads,
      prompt_tokens_total: actor.promptTokens,
      completion_tokens_total: actor.tokens,
      ...(actor.lastError ? { last_error: actor.lastError } : {}),
      log_tail: ready ? [`invented: context of 8192 tokens for ${actor.about.name}`] : [],
    };
  }

  #held() {
    return this.#actors.reduce((sum, { heldMb }) => sum + heldMb, 0);
  }

  #now() {
    return this.#epoch + this.#tick;
  }

  /** @param {string} id */
  #actor(id) {
    const found = this.#actors.find(({ about }) => about.id === id);
    if (!found) throw new Error(`no invented model ${id}`);
    return found;
  }

  /**
   * @param {string} model
   * @param {number} held_bytes
   */
  #hold(model, held_bytes) {
    this.#changes.push({ sequence: this.#sequence, time_unix: this.#now(), model, held_bytes });
  }

  /** @param {Omit<Api.Event, "sequence" | "time_unix">} event */
  #tell(event) {
    this.#sequence += 1;
    this.#events.push({ sequence: this.#sequence, time_unix: this.#now(), ...event });
    if (this.#events.length > MOST_EVENTS) this.#events.shift();
  }
}
