import { Async, Empty } from "~/pieces/states";
import { Timeline } from "~/pieces/Timeline";
import { useHostEvents } from "./host";

/** HostEvents is what happened to a host, newest first. */
export function HostEvents({ name }: { name: string }) {
  const query = useHostEvents(name);
  return (
    <Async query={query} what="the events" lines={8}>
      {(list) => <Timeline events={list.items} showHost={false} empty={<Empty>Nothing has happened to this host yet. What it does and what becomes of it is listed here.</Empty>} />}
    </Async>
  );
}
