import type { Schemas } from "~/api/client";
import type { HostState } from "~/run/live";

// What GET /v1/runs and its like answer, with the words that there are.

export type RunState = "running" | "ok" | "failed" | "partial" | "cancelled" | "lost";
export type RunKind = "command" | "converge" | "play" | "apply";

type Words = { kind: RunKind; state: RunState };
export type RunRecord = Omit<Schemas["RunRecord"], keyof Words> & Words;
export type RunList = { items: RunRecord[]; next?: string };
export type RunResult = Omit<Schemas["RunResult"], "state"> & { state: HostState };
export type RunDetail = Omit<Schemas["RunDetail"], keyof Words | "results"> & Words & { results: RunResult[] };
