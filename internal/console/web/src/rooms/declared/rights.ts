import type { Kind } from "./types";

const ranks: Record<string, number> = { viewer: 1, operator: 2, admin: 3 };

/** allows says whether a role may what an access rule asks for, which is a role's name or something that only the server can judge. */
export function allows(rule: string, role: string | undefined): boolean {
  const need = ranks[rule];
  return need === undefined || (ranks[role ?? ""] ?? 0) >= need;
}

export const mayRead = (k: Kind, role: string | undefined): boolean => allows(k.read, role);
export const mayWrite = (k: Kind, role: string | undefined): boolean => allows(k.write, role);
