import { useState, type FormEvent } from "react";
import { Button, Popover } from "@mantine/core";
import { clockTime, date, dateTime, utc } from "~/format";
import { now } from "./clock";
import { localInput, moved, spanOf, wider } from "./range";
import { ranges, useTime, type Time } from "./time";
import css from "./TimePicker.module.css";

const words: Record<string, string> = {
  "15m": "15 minutes", "1h": "1 hour", "3h": "3 hours", "12h": "12 hours", "1d": "1 day", "3d": "3 days", "7d": "7 days", "15d": "15 days",
};

/** TimePicker sets the range of all charts of the page, and whether it moves. */
export function TimePicker() {
  const time = useTime();
  const [open, setOpen] = useState(false);
  const sameDay = date(time.from * 1000) === date(time.to * 1000);
  const label = time.name ? (words[time.name] ?? time.name) : `${dateTime(time.from * 1000)} – ${sameDay ? clockTime(time.to * 1000) : dateTime(time.to * 1000)}`;
  const seconds = () => now() / 1000;
  const set = (s: { from: number; to: number }) => time.setFixed(s.from, s.to);
  return (
    <Button.Group>
      <Button variant="default" size="xs" className={css.step} aria-label="Earlier" title="Earlier" onClick={() => set(moved(time, -1, seconds()))}>
        ‹
      </Button>
      <Popover position="bottom-end" opened={open} onChange={setOpen} trapFocus returnFocus width={320} shadow="none">
        <Popover.Target>
          <Button variant="default" size="xs" className={css.now} aria-label={`Time range: ${label}`} title={`${utc(time.from * 1000)} to ${utc(time.to * 1000)}`} onClick={() => setOpen(!open)}>
            <span>{label}</span>
          </Button>
        </Popover.Target>
        <Popover.Dropdown className={css.drop} aria-label="Time range">
          <Choose time={time} close={() => setOpen(false)} />
        </Popover.Dropdown>
      </Popover>
      <Button variant="default" size="xs" className={css.step} aria-label="Later" title="Later" disabled={time.live} onClick={() => set(moved(time, 1, seconds()))}>
        ›
      </Button>
      <Button variant="default" size="xs" className={css.step} aria-label="Zoom out" title="Zoom out" onClick={() => set(wider(time, seconds()))}>
        −
      </Button>
      <Button variant="default" size="xs" className={css.live} aria-pressed={time.live} onClick={() => time.setLive(!time.live)}>
        {time.live ? "● Live" : "Live"}
      </Button>
    </Button.Group>
  );
}

function Choose({ time, close }: { time: Time; close: () => void }) {
  const [from, setFrom] = useState(() => localInput(time.from));
  const [to, setTo] = useState(() => localInput(time.to));
  const [wrong, setWrong] = useState("");
  const submit = (e: FormEvent) => {
    e.preventDefault();
    const span = spanOf(from, to, now() / 1000);
    if (typeof span === "string") return setWrong(span);
    time.setFixed(span.from, span.to);
    close();
  };
  return (
    <>
      <div className={css.ranges} role="group" aria-label="The last">
        {ranges.map((r) => (
          <button
            key={r}
            type="button"
            aria-pressed={time.name === r}
            onClick={() => {
              time.setRange(r);
              close();
            }}
          >
            {words[r]}
          </button>
        ))}
      </div>
      <form onSubmit={submit} className={css.form}>
        <label>
          From <input type="datetime-local" step={1} value={from} onChange={(e) => setFrom(e.currentTarget.value)} />
        </label>
        <label>
          To <input type="datetime-local" step={1} value={to} onChange={(e) => setTo(e.currentTarget.value)} />
        </label>
        <p role="alert">{wrong}</p>
        <Button type="submit" size="xs" variant="default">
          Show this time
        </Button>
      </form>
    </>
  );
}
