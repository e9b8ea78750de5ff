import type { Schemas } from "~/api/client";

export type Person = Schemas["Person"];
export type Token = Schemas["Token"];
export type NewToken = Token & { secret: string };

export type Session = Schemas["Session"];
export type ServerInfo = Schemas["ServerInfo"];
export type MetricsStatus = Schemas["MetricsStatus"];

export type JoinInfo = Schemas["JoinInfo"];
