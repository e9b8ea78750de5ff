import { Button, createTheme, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";

// Mantine's own names point at our tokens, so that its parts and ours are one.
const accent: MantineColorsTuple = [
  "#eef2fd", "#dbe3fb", "#b8c7f6", "#93abff", "#6f8cec", "#4d6edc", "#3b5ed3", "#2b50c8", "#2342a8", "#1b3487",
];

const title = { fontSize: "var(--size-16)", fontWeight: 600 };

export const theme = createTheme({
  primaryColor: "accent",
  primaryShade: { light: 7, dark: 3 },
  autoContrast: true,
  colors: { accent },
  fontFamily: "var(--font-sans)",
  fontFamilyMonospace: "var(--font-mono)",
  fontSizes: { xs: "var(--size-12)", sm: "var(--size-13)", md: "var(--size-14)", lg: "var(--size-16)", xl: "var(--size-20)" },
  defaultRadius: "var(--radius)",
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    // The text on the accent is ours: what is chosen by itself fits the light theme alone.
    Button: Button.extend({ defaultProps: { size: "sm" }, vars: (_, p) => ({ root: (p.variant ?? "filled") === "filled" ? { "--button-color": "var(--accent-text)" } : {} }) }),
    TextInput: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { size: "sm" } },
    Tooltip: { defaultProps: { openDelay: 300, transitionProps: { duration: 100 } } },
    Modal: { defaultProps: { transitionProps: { duration: 120 }, centered: true, overlayProps: { backgroundOpacity: 0.35 } }, styles: { title } },
    Drawer: { defaultProps: { transitionProps: { duration: 120 } }, styles: { title } },
    // A dialog's head is not the banner of the page.
    ModalHeader: { defaultProps: { role: "presentation" } },
    DrawerHeader: { defaultProps: { role: "presentation" } },
    Menu: { defaultProps: { transitionProps: { duration: 80 } } },
  },
});

const shared = {
  "--mantine-color-body": "var(--surface-0)",
  "--mantine-color-text": "var(--text-1)",
  "--mantine-color-dimmed": "var(--text-3)",
  "--mantine-color-default": "var(--surface-1)",
  "--mantine-color-default-hover": "var(--surface-2)",
  "--mantine-color-default-color": "var(--text-1)",
  "--mantine-color-default-border": "var(--line)",
  "--mantine-color-placeholder": "var(--text-3)",
  "--mantine-color-anchor": "var(--accent)",
  "--mantine-color-error": "var(--bad)",
};

export const variables: CSSVariablesResolver = () => ({ variables: {}, light: shared, dark: shared });
