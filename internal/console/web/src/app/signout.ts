import { useCallback } from "react";
import { useNavigate } from "@tanstack/react-router";
import { api } from "~/api/client";
import { useSession } from "./session";

/** useSignOut ends this session, forgets all that was read, and goes to the sign-in page. */
export function useSignOut(): () => Promise<void> {
  const { leave } = useSession();
  const navigate = useNavigate();
  return useCallback(async () => {
    try {
      await api.POST("/v1/logout");
    } finally {
      // First away from the page, which would ask again for what it shows.
      await navigate({ to: "/signin" });
      leave();
    }
  }, [leave, navigate]);
}
