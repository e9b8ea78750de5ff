/** HostLink is a plain link to a host's page: the list around it leads there. Links that each follow the router are too dear where hundreds scroll by. */
export function HostLink({ name, className }: { name: string; className?: string | undefined }) {
  return (
    <a href={`/hosts/${encodeURIComponent(name)}`} tabIndex={-1} title={name} className={className}>
      {name}
    </a>
  );
}
