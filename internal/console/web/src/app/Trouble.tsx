import { Link, useLocation, type ErrorComponentProps } from "@tanstack/react-router";
import { failureOf } from "~/api/client";
import { Page } from "~/pieces/Page";
import { ErrorBox } from "~/pieces/states";

export function NotFound() {
  const { pathname } = useLocation();
  return (
    <Page title="Not found" fact={`There is no page at ${pathname}.`}>
      <p>
        <Link to="/">Go to the fleet</Link>
      </p>
    </Page>
  );
}

/** NotFoundAlone is the same without the frame around it, which has the page's landmarks. */
export function NotFoundAlone() {
  return (
    <main>
      <NotFound />
    </main>
  );
}

/** PageFailed stands in for a page that broke; the frame stays. */
export function PageFailed({ error, reset }: ErrorComponentProps) {
  return (
    <Page title="This page failed">
      <ErrorBox failure={failureOf(error)} what="show this page" retry={reset} />
    </Page>
  );
}
