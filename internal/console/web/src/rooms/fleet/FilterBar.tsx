import { memo, useCallback, useDeferredValue, useMemo, useRef, useState, type ReactNode } from "react";
import { Button, Menu, Popover, TextInput } from "@mantine/core";
import { counted, whole } from "~/format";
import { useFilterKey } from "~/pieces/keys";
import { shapes } from "~/pieces/states";
import { counter, stateFacets, toggle, type Facet, type Filter, type Key, type Subject } from "./filter";
import { toneOf } from "./health";
import { groupsOf, labelKeys, labelsOf } from "./subjects";
import css from "./FilterBar.module.css";

/** How many groups stand there as chips; the others are in the menu. */
const inline = 6;

/** FilterBar is the filter as text, and its commonest terms as chips with their counts. */
export function FilterBar(
  p: Looks & {
    text: string;
    setText: (text: string) => void;
    filter: Filter;
    /** The filter that the list follows, a moment later. */
    listed: Filter;
    subjects: Subject[];
    shown: number;
  },
) {
  const { text, setText, filter } = p;
  // Counts may come a moment after the hosts.
  const subjects = useDeferredValue(p.subjects);
  const input = useRef<HTMLInputElement>(null);
  useFilterKey(input);
  const now = useRef({ text, setText });
  now.current = { text, setText };
  const flip = useCallback((key: Key, value: string) => now.current.setText(toggle(now.current.text, key, value)), []);
  return (
    <div className={css.bar} role="search" aria-label="Hosts">
      <div className={css.first}>
        <TextInput
          ref={input}
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === "Escape") {
              if (text) setText("");
              else e.currentTarget.blur();
            }
          }}
          placeholder="Filter: web, group:db, env=prod, state:failed, disk>80"
          aria-label="Filter hosts"
          className={css.input}
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="none"
          type="search"
        />
        <span className={css.count} role="status">
          {p.shown === p.subjects.length ? counted(p.shown, "host") : `${whole(p.shown)} of ${counted(p.subjects.length, "host")}`}
        </span>
        <Look subjects={subjects} by={p.by} setBy={p.setBy} view={p.view} setView={p.setView} />
      </div>
      {filter.problems.length > 0 && (
        <p className={css.problem} role="status">
          {filter.problems.map((x) => `“${x.raw}” is left out: ${x.why}.`).join(" ")}
        </p>
      )}
      <div className={css.chips}>
        <Counts subjects={subjects} filter={p.listed} flip={flip} />
        {text.trim() !== "" && (
          <button type="button" className={css.clear} onClick={() => setText("")}>
            Clear filter
          </button>
        )}
      </div>
    </div>
  );
}

/** Counts are the terms with their numbers, drawn anew only when these are. */
const Counts = memo(function Counts({ subjects, filter, flip }: { subjects: Subject[]; filter: Filter; flip: (key: Key, value: string) => void }) {
  const { states, groups, labels, systems } = useMemo(() => {
    const count = counter(subjects, filter);
    return { states: stateFacets(count), groups: count("group", groupsOf), labels: count("label", labelsOf), systems: count("os", (s) => (s.host.os ? [s.host.os] : [])) };
  }, [subjects, filter]);
  return (
    <>
      {states.map((f) => (
        <Chip key={f.value} facet={f} onClick={() => flip("state", f.value)}>
          <span className={css.shape} data-tone={toneOf[f.value]} aria-hidden="true">
            {shapes[toneOf[f.value]]}
          </span>{" "}
          {f.value}
        </Chip>
      ))}
      {groups.length > 0 && <span className={css.gap} aria-hidden="true" />}
      {groups.slice(0, inline).map((f) => (
        <Chip key={f.value} facet={f} onClick={() => flip("group", f.value)}>
          {f.value}
        </Chip>
      ))}
      {groups.length > inline && <FacetMenu word={`${groups.length - inline} more groups`} facets={groups} flip={(v) => flip("group", v)} />}
      {labels.length > 0 && <FacetMenu word="Labels" facets={labels} flip={(v) => flip("label", v)} />}
      {systems.length > 1 && <FacetMenu word="Systems" facets={systems} flip={(v) => flip("os", v)} />}
    </>
  );
});

type Looks = { by: string | undefined; setBy: (by: string | undefined) => void; view: "rows" | "tiles"; setView: (view: "rows" | "tiles") => void };

/** Look is how the list is laid out. */
const Look = memo(function Look({ subjects, by, setBy, view, setView }: Looks & { subjects: Subject[] }) {
  const keys = useMemo(() => labelKeys(subjects), [subjects]);
  return (
    <div className={css.look}>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button variant="default" size="xs">
            {by ? `By ${by.replace(/^label:/, "")}` : "Group"}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {[["", "Not grouped"], ["group", "By group"], ["state", "By state"], ["os", "By system"], ...keys.map((k) => [`label:${k}`, `By label ${k}`])].map(([key, word]) => (
            <Menu.Item key={key} role="menuitemradio" aria-checked={(by ?? "") === key} rightSection={(by ?? "") === key ? "✓" : undefined} onClick={() => setBy(key || undefined)}>
              {word}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <Button.Group>
        {(["rows", "tiles"] as const).map((v) => (
          <Button key={v} variant={view === v ? "light" : "default"} size="xs" aria-pressed={view === v} onClick={() => setView(v)}>
            {v === "rows" ? "Rows" : "Tiles"}
          </Button>
        ))}
      </Button.Group>
    </div>
  );
});

function Chip({ facet, onClick, children }: { facet: Facet; onClick: () => void; children: ReactNode }) {
  return (
    <button type="button" className={css.chip} aria-pressed={facet.chosen} onClick={onClick} title={facet.value}>
      <span className={css.word}>{children}</span> <span className={css.number}>{whole(facet.count)}</span>
    </button>
  );
}

const most = 200;

function FacetMenu({ word, facets, flip }: { word: string; facets: Facet[]; flip: (value: string) => void }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const low = text.toLowerCase();
  const found = facets.filter((f) => f.value.toLowerCase().includes(low));
  const chosen = facets.filter((f) => f.chosen).length;
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-start" width={320} trapFocus returnFocus>
      <Popover.Target>
        <button type="button" className={css.chip} aria-expanded={open} data-some={chosen > 0 || undefined} onClick={() => setOpen(!open)}>
          {word} {chosen > 0 && <span className={css.number}>{chosen} chosen</span>} <span aria-hidden="true">▾</span>
        </button>
      </Popover.Target>
      <Popover.Dropdown aria-label={word}>
        {facets.length > 8 && <TextInput size="xs" value={text} onChange={(e) => setText(e.currentTarget.value)} placeholder="Find" aria-label={`Find in ${word.toLowerCase()}`} data-autofocus />}
        <div className={css.menu} role="group" aria-label={word}>
          {found.slice(0, most).map((f) => (
            <label key={f.value} className={css.choice}>
              <input type="checkbox" checked={f.chosen} onChange={() => flip(f.value)} />
              <span className={css.value} title={f.value}>
                {f.value}
              </span>
              <span className={css.number}>{whole(f.count)}</span>
            </label>
          ))}
          {found.length === 0 && <p className={css.none}>None has “{text}” in it.</p>}
          {found.length > most && <p className={css.none}>{whole(found.length - most)} more: type to find them.</p>}
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}
