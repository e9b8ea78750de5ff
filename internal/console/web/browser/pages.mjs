// Every page of the console that has something of its own to show. A new page
// gets a line here, and is then looked at in all its states.
import { commits } from "./standin/fleet.mjs";

const page = (states) => ([name, path, more]) => ({ name, path, states, ...more });

const four = [
  ["fleet", "/"],
  ["host", "/hosts/web-3"],
  ["alerts", "/alerts"],
  ["changes", "/changes"],
  ["revision", `/changes/${commits[0]}`],
  ["events", "/events"],
  ["runs", "/runs"],
  ["run-command", "/runs/run-6"],
  ["run-converge", "/runs/run-7"],
  ["declared", "/declared"],
  ["kind", "/declared/people"],
  ["object", "/declared/people/ann"],
  ["account", "/settings/account"],
  ["people", "/settings/people"],
  ["tokens", "/settings/tokens"],
  ["server", "/settings/server"],
  ["certificates", "/settings/certificates"],
];
// While their data comes, or does not, these are as the pages that they are part of.
const two = [
  ["host-processes", "/hosts/web-3?tab=processes"],
  ["host-units", "/hosts/web-3?tab=units"],
  ["host-converge", "/hosts/web-3?tab=converge"],
  ["host-events", "/hosts/web-3?tab=events"],
];
// On these little depends on what the server says.
const one = [
  ["pieces", "/pieces", { waits: true }], // it shows what waiting looks like
  ["signin", "/signin"],
  ["first", "/signin?code=x"],
  ["nowhere", "/no/such/page"],
  ["host-facts", "/hosts/web-3?tab=facts"],
  ["host-command", "/hosts/web-3?tab=command"],
  ["enrolment", "/settings/enrolment"],
];

export const all = [...four.map(page(["full", "empty", "loading", "failing"])), ...two.map(page(["full", "empty"])), ...one.map(page(["full"]))];
