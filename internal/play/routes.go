package play

import (
	"drover/api"
	"drover/internal/domain"
)

// The streams, as server-sent events:
//
//	POST /v1/runs   unnamed events, each an api.RunEvent: first Start, then
//	                Output and Done as they come, several hosts in one event,
//	                last End.
//	POST /v1/converge  as of runs; each Done has the host's report.
//	POST /v1/plays  events "play", each a list of engine.Event as JSON, in order;
//	                last the event "end", an api.PlayEnd. What tasks returned is
//	                in them for tasks that failed or show it, and for all with a
//	                verbosity. The request's body is a tar
//	                (plain, gzip or zstd) of the folder with the playbooks; its
//	                file api.PlayOptionsFile holds an api.PlayRequest. What is
//	                wrong with the playbook itself is answered before the stream
//	                begins, as an api.Error with its place.
//
// A reader that goes away ends what it started.
func (p *Play) routes() []domain.Route {
	return []domain.Route{
		{Method: "POST", Path: "/v1/runs", Access: domain.Operator(), Stream: true, MaxBody: 1 << 20,
			Doc:     "Run a command on many hosts, now.\nThe answer is a stream of server-sent events: what hosts print, as it comes, and how each ended.",
			Request: api.RunRequest{}, Response: api.RunEvent{}, Handle: p.serveRun},
		{Method: "POST", Path: "/v1/converge", Access: domain.Operator(), Stream: true, MaxBody: 1 << 20,
			Doc:     "Have many hosts converge now, or check what a converge would change.\nThe answer is a stream of server-sent events, as of a run: how each host ended, with its report.",
			Request: api.ConvergeRequest{}, Response: api.RunEvent{}, Handle: p.serveConverge},
		{Method: "POST", Path: "/v1/plays", Access: domain.Operator(), Stream: true, MaxBody: maxUpload,
			Doc:      "Run an uploaded playbook through the agents.\nThe body is a tar of the folder with the playbooks and a file .drover-play.json with the options. The answer is a stream of server-sent events.",
			Response: api.PlayEnd{}, Handle: p.servePlay},
	}
}
