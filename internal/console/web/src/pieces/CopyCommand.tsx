import { CopyButton } from "./CopyButton";
import css from "./Copy.module.css";

/** CopyCommand is a command that does the same in a shell, with a button that copies it. */
export function CopyCommand({ command }: { command: string }) {
  return (
    <div className={css.command}>
      <code tabIndex={0} role="region" aria-label="Command">
        {command}
      </code>
      <CopyButton text={command} />
    </div>
  );
}
