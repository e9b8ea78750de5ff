import type { Schemas } from "~/api/client";

export type Kind = Schemas["KindInfo"] & { made?: string };
export type Obj = {
  kind?: string;
  name: string;
  uid?: string;
  labels?: Record<string, string>;
  generation?: number;
  revision?: number;
  created?: string;
  updated?: string;
  spec?: unknown;
  status?: unknown;
};
