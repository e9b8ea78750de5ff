/** Where a browser keeps the scheme that somebody chose: light, dark or auto. */
export const schemeKey = "drover-colour-scheme";

/** beginScheme gives the page its colours before the program that keeps them is there: a dark page must not begin white. */
export function beginScheme(): void {
  let chosen: string | null = null;
  try {
    chosen = localStorage.getItem(schemeKey);
  } catch {
    // A browser may keep nothing; the system's it is.
  }
  const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.mantineColorScheme = dark ? "dark" : "light";
}
