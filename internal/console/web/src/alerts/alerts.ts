import { useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { api, data, type Schemas } from "~/api/client";
import { useEvents } from "~/app/live";

/** Alert is a rule's finding on one host, or on the fleet when host is left out. */
export type Alert = Schemas["Alert"];

export const alertsKey = ["alerts"];

/** useAlerts reads what fires and what is pending, again whenever something begins or ends. */
export function useAlerts(): UseQueryResult<Alert[]> {
  const client = useQueryClient();
  useEvents(
    (e) => e.type.startsWith("alert."),
    () => void client.invalidateQueries({ queryKey: alertsKey }),
  );
  return useQuery({
    queryKey: alertsKey,
    queryFn: async ({ signal }) => (await data(api.GET("/v1/alerts", { signal }))).items,
    // Pending alerts come and go without an event.
    refetchInterval: 30_000,
  });
}

/** byHost gathers what fires by host. */
export function byHost(alerts: Alert[] | undefined): Map<string, Alert[]> {
  const out = new Map<string, Alert[]>();
  for (const a of alerts ?? []) {
    if (a.state !== "firing" || !a.host) continue;
    const list = out.get(a.host);
    if (list) list.push(a);
    else out.set(a.host, [a]);
  }
  return out;
}
