// SPDX-License-Identifier: GPL-3.0-only
// What the server sends, as docs/reference/api.md and modeld_dashboard/feed.py have it.

declare namespace Api {
  interface Model {
    id: string;
    name: string;
    path: string;
    quant: string;
    family: string;
    size_bytes: number;
    context_length?: number;
    gives_up?: string;
    problem?: string;
  }

  type InstanceState = "absent" | "loading" | "ready" | "draining" | "failed";

  interface Instance {
    model_id: string;
    state: InstanceState;
    last_used_unix: number;
    held_mb: number;
    queue_len: number;
    inflight: number;
    max_queue_depth: number;
    slots: number;
    pinned: boolean;
    priority: number;
    expires_in_s?: number;
    pid?: number;
    loads_total: number;
    prompt_tokens_total: number;
    completion_tokens_total: number;
    last_error?: string;
    fit?: { step: string; gives_up: string; options: Record<string, unknown>; full_mb: number };
    log_tail: string[];
    host?: string;
    node?: string;
  }

  interface Status {
    state: "starting" | "running" | "draining" | "closed";
    instances: Instance[];
    instances_total: number;
    budget_mb: number;
    budget_origin: string;
    held_mb: number;
    margin_mb: number;
    error?: string;
    last_error?: string;
    loads_total: number;
    evictions_total: number;
    prompt_tokens_total: number;
    completion_tokens_total: number;
    warmups_in_progress: number;
    draining_count: number;
    warm_workers: number;
    uptime_seconds: number;
    server_time_unix: number;
  }

  interface ErrorBody {
    error: string;
    code?: number;
    reason: string;
    field?: string;
  }

  interface Usage {
    prompt_tokens: number;
    completion_tokens: number;
    cached_tokens: number;
    total_tokens: number;
  }

  interface Done {
    done: true;
    content: string;
    finish_reason: string;
    usage: Usage;
  }

  interface Event {
    sequence: number;
    host?: string;
    time_unix: number;
    kind:
      | "model_loading"
      | "model_loaded"
      | "model_load_failed"
      | "model_evicted"
      | "worker_exited"
      | "request_refused"
      | "request_finished";
    model: string;
    request_id?: string;
    reason?: string;
    message?: string;
    cause?: string;
    detail?: string;
    outcome?: string;
    seconds?: number | null;
    first_token_s?: number | null;
    retry_after_s?: number | null;
    held_bytes?: number;
    gives_up?: string;
    freed_bytes?: number;
    prompt_tokens?: number;
    completion_tokens?: number;
  }

  interface MemoryChange {
    time_unix: number;
    model: string;
    held_bytes: number;
  }

  interface Feed {
    feed: string;
    sequence: number;
    server_time_unix: number;
    events: Event[];
    memory: {
      history_s: number;
      held_before: Record<string, number>;
      changes: MemoryChange[];
    };
  }

  interface Message {
    role: string;
    content: string;
  }
}
