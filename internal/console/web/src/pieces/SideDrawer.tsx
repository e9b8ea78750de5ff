import type { ReactNode } from "react";
import { Drawer } from "@mantine/core";

/** SideDrawer shows detail beside a list that stays. Focus is kept in it and goes back where it was. */
export function SideDrawer({ open, onClose, title, children }: { open: boolean; onClose: () => void; title: ReactNode; children?: ReactNode }) {
  return (
    <Drawer opened={open} onClose={onClose} title={title} position="right" size="min(720px, 100vw)" padding="lg" overlayProps={{ backgroundOpacity: 0.25 }} closeButtonProps={{ "aria-label": "Close" }}>
      {children}
    </Drawer>
  );
}
