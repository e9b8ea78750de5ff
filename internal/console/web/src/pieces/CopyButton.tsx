import { useEffect, useState } from "react";
import css from "./Copy.module.css";

/** copy puts text on the clipboard, also where the page has no right to the new way. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** CopyButton copies text and says so. */
export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [said, say] = useState("");
  useEffect(() => {
    if (!said) return;
    const t = setTimeout(() => say(""), 2000);
    return () => clearTimeout(t);
  }, [said]);
  return (
    <button type="button" className={css.button} onClick={async () => say((await copy(text)) ? "Copied" : "Cannot copy")}>
      <span className={said ? css.hidden : undefined}>{label}</span>
      <span role="status" className={css.said}>
        {said}
      </span>
    </button>
  );
}
