// Package observehost is the room of observation on a host: it reads the
// host's metrics, keeps them until the server has them, and looks at what runs.
//
//	collectors ──► series ──► write-ahead log ──► shipper ──► the line
//	  (15 s)      (refs,        (segments,       (cursor)    (Agent.Write)
//	              staleness)     bounded)
//
// Every sample that was read is in the log before anything else happens to it,
// and the cursor moves only when the server has said that what lies before it
// is stored. So a server that is away, and an agent that is killed at any
// moment, lose nothing; what was sent and not yet noted is sent again.
//
// The log is Prometheus' (tsdb/wlog, tsdb/record). Each segment names all of
// its series, so that it is read alone: there is no checkpoint, the oldest
// segment may go at any time, and a torn one costs what is in it.
package observehost
