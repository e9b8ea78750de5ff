import { Link } from "@tanstack/react-router";
import type { FleetEvent } from "~/app/live";
import { sentence } from "./words";
import css from "./Sentence.module.css";

/** Sentence is an event in words, with links to what it speaks of. */
export function Sentence({ event, links = true }: { event: FleetEvent; links?: boolean }) {
  return (
    <>
      {sentence(event).map((w, i) =>
        typeof w === "string" ? (
          <span key={i}>{w}</span>
        ) : links ? (
          <Link key={i} to={w.href as never} className={w.mono ? `mono ${css.link}` : css.link}>
            {w.text}
          </Link>
        ) : (
          <span key={i} className={w.mono ? "mono" : undefined}>
            {w.text}
          </span>
        ),
      )}
    </>
  );
}
