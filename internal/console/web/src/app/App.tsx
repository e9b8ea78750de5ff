import { MantineProvider, localStorageColorSchemeManager } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { failureOf } from "~/api/client";
import { readOverview } from "./overview";
import { schemeKey } from "~/theme/scheme";
import { theme, variables } from "~/theme/theme";
import { router } from "./routes";
import { whoami } from "./session";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: true,
      // What is wrong with a request does not get better by asking again.
      retry: (n, e) => ["unavailable", "internal"].includes(failureOf(e).code) && n < 2,
    },
  },
});

const scheme = localStorageColorSchemeManager({ key: schemeKey });
const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";

// The library that keeps a page still behind a dialog makes a <style> too.
(globalThis as { __webpack_nonce__?: string }).__webpack_nonce__ = nonce;

/**
 * ready is when the first page can be drawn with what it shows: drawing it
 * empty first, and again, takes longer than waiting for what is on its way.
 */
export async function ready(): Promise<void> {
  const page = router.load();
  await client.prefetchQuery(whoami);
  const signedIn = client.getQueryData(whoami.queryKey);
  await Promise.all([page, signedIn && location.pathname === "/" ? readOverview() : undefined]);
}

export function App() {
  return (
    <MantineProvider theme={theme} cssVariablesResolver={variables} colorSchemeManager={scheme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} context={{ client }} />
      </QueryClientProvider>
    </MantineProvider>
  );
}
