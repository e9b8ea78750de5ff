import { useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { Modal, useMantineColorScheme } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { commands, hostCommand, type Command, type Doing } from "./commands";
import { useOverview } from "./overview";
import { find, remember, type Found } from "./palette";
import { useSession } from "./session";
import { useSignOut } from "./signout";
import css from "./Palette.module.css";

/** Palette is the way by keyboard to every page, host and action. */
export function Palette({ open, setOpen, openKeys }: { open: boolean; setOpen: (open: boolean) => void; openKeys: () => void }) {
  return (
    <Modal.Root opened={open} onClose={() => setOpen(false)} padding={0} size={600} yOffset="10vh" centered={false}>
      <Modal.Overlay backgroundOpacity={0.35} />
      <Modal.Content aria-label="Search or do">
        <Modal.Body className={css.body!}>{open && <Search close={() => setOpen(false)} openKeys={openKeys} />}</Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

const kept = "drover-recent";

function recentIds(): string[] {
  try {
    const v: unknown = JSON.parse(localStorage.getItem(kept) ?? "[]");
    return Array.isArray(v) ? v.filter((s) => typeof s === "string") : [];
  } catch {
    return []; // a browser may keep nothing
  }
}

function Search({ close, openKeys }: { close: () => void; openKeys: () => void }) {
  const { may } = useSession();
  const { hosts } = useOverview();
  const navigate = useNavigate();
  const { setColorScheme } = useMantineColorScheme();
  const signOut = useSignOut();
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const all = useMemo(() => [...commands(may), ...(hosts ?? []).map(hostCommand)], [hosts, may]);
  const groups = useMemo(() => {
    if (query.trim() !== "") return find(query, all);
    const recent = recentIds()
      .map((r) => all.find((c) => c.id === r))
      .filter((c) => c !== undefined)
      .map((c) => ({ entry: c, marks: [] as [number, number][] }));
    const rest = find("", all.filter((c) => !recent.some((r) => r.entry.id === c.id)));
    return recent.length > 0 ? [{ group: "Recent", items: recent }, ...rest] : rest;
  }, [query, all]);
  const flat = groups.flatMap((g) => g.items);
  const chosen = Math.min(at, flat.length - 1);
  const run = (c: Command) => {
    try {
      localStorage.setItem(kept, JSON.stringify(remember(recentIds(), c.id)));
    } catch {
      // Then nothing is recent the next time.
    }
    close();
    const doing: Doing = { navigate: (href) => void navigate({ href } as never), openKeys, setScheme: setColorScheme, signOut: () => void signOut() };
    c.run(doing);
  };
  const go = (to: number) => {
    if (flat.length === 0) return;
    const next = (to + flat.length) % flat.length;
    setAt(next);
    list.current?.querySelector(`[data-n="${next}"]`)?.scrollIntoView({ block: "nearest" });
  };
  const onKeyDown = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown" || (e.ctrlKey && e.key === "n")) go(chosen + 1);
    else if (e.key === "ArrowUp" || (e.ctrlKey && e.key === "p")) go(chosen - 1);
    else if (e.key === "Enter") {
      if (flat[chosen]) run(flat[chosen].entry);
    } else return;
    e.preventDefault();
  };
  let n = -1;
  return (
    <>
      <input
        className={css.input}
        data-autofocus
        role="combobox"
        aria-label="Search or do"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={flat[chosen] ? `${id}-${chosen}` : undefined}
        aria-autocomplete="list"
        autoComplete="off"
        spellCheck={false}
        placeholder="A page, a host, or what to do"
        value={query}
        onChange={(e) => {
          setQuery(e.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      <div className={css.list} ref={list} id={id} role="listbox" aria-label="What there is">
        {groups.map((g) => (
          <div key={g.group} role="group" aria-label={g.group}>
            <div className={css.group} aria-hidden="true">
              {g.group}
            </div>
            {g.items.map((f) => {
              n++;
              const own = n;
              return <Item key={f.entry.id} f={f} id={`${id}-${own}`} n={own} on={own === chosen} enter={() => setAt(own)} run={() => run(f.entry)} recent={g.group === "Recent"} />;
            })}
          </div>
        ))}
      </div>
      {flat.length === 0 && (
        <p className={css.nothing} role="status">
          Nothing is called “{query}”.
        </p>
      )}
      <div className="visually-hidden" role="status">
        {query ? `${flat.length} found` : ""}
      </div>
    </>
  );
}

function Item({ f, id, n, on, enter, run, recent }: { f: Found<Command>; id: string; n: number; on: boolean; enter: () => void; run: () => void; recent: boolean }) {
  const { words, group, keys } = f.entry;
  return (
    <div id={id} data-n={n} role="option" aria-selected={on} className={css.item} onMouseMove={on ? undefined : enter} onClick={run}>
      <span className={group === "Hosts" ? "mono" : undefined}>{marked(words, f.marks)}</span>
      {keys ? <kbd>{keys}</kbd> : recent ? <span className={css.kind}>{group}</span> : null}
    </div>
  );
}

function marked(text: string, marks: [number, number][]) {
  const out = [];
  let at = 0;
  for (const [a, b] of marks) {
    out.push(text.slice(at, a), <b key={a}>{text.slice(a, b)}</b>);
    at = b;
  }
  out.push(text.slice(at));
  return out;
}
