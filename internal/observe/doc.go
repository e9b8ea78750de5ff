// Package observe is the room of what is seen of hosts: metrics, alerts, and
// looks at a host as it is this moment.
//
// Nouns: a Sample is one value of a series at one time. The rule pack
// (rules.yml) are Prometheus recording and alerting rules. An Alert is one
// thing that a rule finds wrong; a Look is a question to one host.
//
// Flow of metrics: the agent collects every 15 s → link.Write → metricstore,
// which says whose they are → the write-ahead log → the acknowledgement. Beside
// them the server writes series of its own about each host (drover_host_…), so
// that a host that is silent is seen as well.
//
// Flow of an alert: rules are evaluated every 15 s or minute → pending → firing
// → an event alert.firing in the journal → the condition ends → alert.resolved.
// The journal is also the memory: after a restart what fires still makes no
// second event.
//
// Invariants: a host writes as itself only; what was acknowledged survives the
// end of the process; a full disk, a lost clock or a host with too many series
// end neither the server nor other hosts' metrics; a look never waits longer
// than five seconds.
//
// The room never changes a host.
package observe
