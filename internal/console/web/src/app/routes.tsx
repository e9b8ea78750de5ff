import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, Outlet } from "@tanstack/react-router";
import type { QueryClient } from "@tanstack/react-query";
import { Shell } from "./Shell";
import { SignInPage } from "./SignIn";
import { NotFound, NotFoundAlone, PageFailed } from "./Trouble";
import { SessionProvider } from "./session";
import { timeSearch } from "./time";
import { ActionsProvider } from "~/pieces/actions";
import { FleetPage } from "~/rooms/fleet/FleetPage";

// Every page there is, in one list. A page keeps its filters in the address
// bar: what of the search a page does not know stays as it is.

const root = createRootRouteWithContext<{ client: QueryClient }>()({
  validateSearch: (s: Record<string, unknown>): Record<string, unknown> => {
    const { range: _range, from: _from, to: _to, ...rest } = s;
    return { ...rest, ...timeSearch(s) };
  },
  component: () => (
    <SessionProvider>
      <ActionsProvider>
        <Outlet />
      </ActionsProvider>
    </SessionProvider>
  ),
  notFoundComponent: NotFoundAlone,
});

const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });

const page = <P extends string>(path: P, load: () => Promise<Record<string, unknown>>, name: string) =>
  createRoute({ getParentRoute: () => shell, path, component: lazyRouteComponent(load as never, name as never), errorComponent: PageFailed });

const routes = root.addChildren([
  createRoute({ getParentRoute: () => root, path: "/signin", component: SignInPage }),
  shell.addChildren([
    // What nearly everybody sees first is part of the program: no second wait for it.
    createRoute({ getParentRoute: () => shell, path: "/", component: FleetPage, errorComponent: PageFailed }),
    page("/hosts/$name", () => import("~/rooms/fleet/HostPage"), "HostPage"),
    page("/alerts", () => import("~/rooms/observe/AlertsPage"), "AlertsPage"),
    page("/changes", () => import("~/rooms/changes/ChangesPage"), "ChangesPage"),
    page("/changes/$revision", () => import("~/rooms/changes/RevisionPage"), "RevisionPage"),
    page("/events", () => import("~/rooms/changes/EventsPage"), "EventsPage"),
    page("/runs", () => import("~/rooms/runs/RunsPage"), "RunsPage"),
    page("/runs/$id", () => import("~/rooms/runs/RunPage"), "RunPage"),
    page("/declared", () => import("~/rooms/declared/DeclaredPage"), "DeclaredPage"),
    page("/declared/$plural", () => import("~/rooms/declared/KindPage"), "KindPage"),
    page("/declared/$plural/$name", () => import("~/rooms/declared/ObjectPage"), "ObjectPage"),
    page("/settings", () => import("~/rooms/settings/SettingsPage"), "SettingsPage"),
    page("/settings/$section", () => import("~/rooms/settings/SettingsPage"), "SettingsPage"),
    page("/pieces", () => import("~/pieces/PiecesPage"), "PiecesPage"),
  ]),
]);

export const router = createRouter({
  routeTree: routes,
  context: { client: undefined as never },
  defaultPreload: "intent",
  defaultNotFoundComponent: NotFound,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
