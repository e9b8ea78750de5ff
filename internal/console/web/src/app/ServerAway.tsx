import { useEffect, useState } from "react";
import type { Failure } from "~/api/client";
import { clockTime } from "~/format";
import { useLive } from "./live";
import css from "./ServerAway.module.css";

const patience = 2500; // a restart that takes less is nobody's concern

/** ServerAway says that what is on the page is old, and since when. It goes by itself. */
export function ServerAway({ failure }: { failure?: Failure }) {
  return failure ? <Notice text={failure.message} remedy={failure.remedy} /> : <LiveNotice />;
}

function LiveNotice() {
  const live = useLive();
  const away = live.state === "waiting" || (live.state === "connecting" && live.failure !== undefined);
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!away) return setLate(false);
    const t = setTimeout(() => setLate(true), patience);
    return () => clearTimeout(t);
  }, [away]);
  if (!late) return <div role="status" />;
  return <Notice text={`The server does not answer. What you see is from ${clockTime(live.since)}.`} remedy="This page goes on by itself as soon as it is back." />;
}

function Notice({ text, remedy }: { text: string; remedy?: string | undefined }) {
  return (
    <div role="status" className={css.away}>
      <strong>{text}</strong> {remedy}
    </div>
  );
}
