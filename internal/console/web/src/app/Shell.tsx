import { useEffect, useRef, useState } from "react";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { Button, Menu, UnstyledButton, useMantineColorScheme } from "@mantine/core";
import { useSession } from "./session";
import { LiveProvider } from "./live";
import { ServerAway } from "./ServerAway";
import { SignInOver } from "./SignIn";
import { TimePicker } from "./TimePicker";
import { Palette } from "./Palette";
import { Keys, mac, useGlobalKeys } from "./Keys";
import { useSignOut } from "./signout";
import { Loading } from "~/pieces/states";
import css from "./Shell.module.css";

const nav = [
  { to: "/", word: "Fleet", also: /^\/(hosts\/|$)/ },
  { to: "/alerts", word: "Alerts", also: /^\/alerts/ },
  { to: "/changes", word: "Changes", also: /^\/(changes|events)/ },
  { to: "/runs", word: "Runs", also: /^\/runs/ },
  { to: "/declared", word: "Declared", also: /^\/declared/ },
  { to: "/settings", word: "Settings", also: /^\/settings/ },
] as const;

// Pages whose charts have a time.
const timed = /^\/(hosts\/|events|pieces)/;

export function Shell() {
  const { me, loading, failure } = useSession();
  const navigate = useNavigate();
  const here = useLocation();
  useEffect(() => {
    // On the way there this still stands, and must not take the sign-in page for where one was.
    if (!loading && !me && (!failure || failure.status === 401) && here.pathname !== "/signin") void navigate({ to: "/signin", search: { next: here.href } as never, replace: true });
  }, [loading, me, failure, navigate, here.pathname, here.href]);
  if (!me) {
    return (
      <div className={css.alone}>
        {failure && failure.status !== 401 ? <ServerAway failure={failure} /> : <Loading what="the console" />}
      </div>
    );
  }
  return (
    <LiveProvider>
      <Frame />
      <SignInOver />
    </LiveProvider>
  );
}

function Frame() {
  const [palette, setPalette] = useState(false);
  const [keys, setKeys] = useState(false);
  useGlobalKeys({ openPalette: () => setPalette(true), openKeys: () => setKeys(true) });
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const shown = useRef(pathname);
  useEffect(() => {
    // A screen reader hears of the new page, and Tab begins there.
    if (shown.current !== pathname) main.current?.focus({ preventScroll: true });
    shown.current = pathname;
  }, [pathname]);
  return (
    <div className={css.shell}>
      <a className={css.skip} href="#main">
        Skip to the page
      </a>
      <nav className={css.rail} aria-label="Rooms">
        <Link to="/" className={css.brand}>
          Drover
        </Link>
        <ul>
          {nav.map((n) => (
            <li key={n.to}>
              <Link to={n.to} className={css.item} aria-current={n.also.test(pathname) ? "page" : undefined}>
                {n.word}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <header className={css.top} data-timed={timed.test(pathname)}>
        <Where />
        <div className={css.tools}>
          <Button variant="default" size="xs" className={css.search} onClick={() => setPalette(true)} aria-keyshortcuts="Control+K">
            Search or do <kbd>{mac() ? "⌘ K" : "Ctrl K"}</kbd>
          </Button>
          {timed.test(pathname) && <TimePicker />}
          <Account onKeys={() => setKeys(true)} />
        </div>
      </header>
      <main className={css.main} id="main" ref={main} tabIndex={-1}>
        <ServerAway />
        <Outlet />
      </main>
      <Palette open={palette} setOpen={setPalette} openKeys={() => setKeys(true)} />
      <Keys open={keys} setOpen={setKeys} />
    </div>
  );
}

function Where() {
  const { pathname } = useLocation();
  const parts = pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const { me } = useSession();
  const room = nav.find((n) => n.also.test(pathname));
  const rest = parts.slice(1);
  return (
    <nav aria-label="Where you are" className={css.where}>
      <ol>
        <li className={css.fleet}>{me?.fleet ?? "Fleet"}</li>
        {room && (
          <li>
            <Link to={room.to}>{room.word}</Link>
          </li>
        )}
        {rest.map((p, i) => (
          <li key={i} aria-current={i === rest.length - 1 ? "page" : undefined} className="mono">
            {p.length === 40 && /^[0-9a-f]+$/.test(p) ? p.slice(0, 10) : p}
          </li>
        ))}
      </ol>
    </nav>
  );
}

function Account({ onKeys }: { onKeys: () => void }) {
  const { me } = useSession();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const signOut = useSignOut();
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <UnstyledButton className={css.account}>{me?.person ?? me?.actor}</UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {me?.actor}, {me?.role}
        </Menu.Label>
        {(["auto", "light", "dark"] as const).map((s) => (
          <Menu.Item key={s} onClick={() => setColorScheme(s)} role="menuitemradio" aria-checked={colorScheme === s} rightSection={colorScheme === s ? "✓" : undefined}>
            {{ auto: "Colours of the system", light: "Light", dark: "Dark" }[s]}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item onClick={onKeys} rightSection={<kbd>?</kbd>}>
          Keyboard
        </Menu.Item>
        <Menu.Item component={Link} to="/settings/account">
          Account and sessions
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item onClick={() => void signOut()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
