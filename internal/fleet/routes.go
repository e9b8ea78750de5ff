package fleet

import (
	"crypto/rand"
	"net/http"
	"time"

	"drover/api"
	"drover/internal/domain"
)

// Body limits: the repository counts a push by itself.
const (
	unbounded = 1 << 50
	maxTree   = 128 << 20
)

func (f *Fleet) routes() []domain.Route {
	return append(f.revisionRoutes(), []domain.Route{
		{Method: "POST", Path: "/v1/join", Access: domain.JoinToken(), Doc: "Enrol a host.\nThe join token is sent as bearer. The same token and key again get the same answer.",
			Request: api.JoinRequest{}, Response: api.JoinResponse{}, MaxBody: 64 << 10, Handle: f.join},
		{Method: "GET", Path: "/v1/join", Access: domain.Operator(), Doc: "What enrolling a host needs to know of the server.",
			Response: api.JoinInfo{}, Handle: f.joinInfo},
		{Method: "GET", Path: "/join.sh", Access: domain.Public("it holds no secret, and whoever runs it checks its hash"), Internal: true, Doc: "The installer of the agent.", Handle: f.serveScript},
		{Method: "GET", Path: "/agent/{os}/{arch}", Access: domain.Public("the program is no secret; a host checks its hash"), Internal: true, Doc: "The agent's program.", Handle: f.serveAgent},

		{Method: "GET", Path: "/v1/overview", Access: domain.Viewer(), Stream: true,
			Doc:      "The whole fleet at a glance: a short row for each host.\nWatched, it begins with a snapshot and goes on with what changes; a reader that falls behind gets another snapshot.",
			Query:    []domain.Param{{Name: "watch", Type: domain.Boolean, Doc: "answer with server-sent events: snapshot, then hosts, four a second at most"}},
			Response: api.Overview{}, Events: map[string]any{"snapshot": api.Overview{}, "hosts": api.OverviewChange{}}, Handle: f.overview.serve},
		{Method: "GET", Path: "/v1/hosts/{name}/facts", Access: domain.Viewer(), Doc: "All facts of a host, by Ansible's names without \"ansible_\".",
			Response: map[string]any{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
				facts, err := f.Facts(r.Context(), r.PathValue("name"))
				if err != nil {
					return err
				}
				return domain.WriteJSON(w, http.StatusOK, facts)
			}},
		{Method: "GET", Path: "/v1/hosts/{name}/report", Access: domain.Viewer(), Doc: "The last converge of a host with all its tasks.",
			Response: api.Report{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
				rep, err := f.reports.last(r.Context(), r.PathValue("name"))
				if err != nil {
					return err
				}
				return domain.WriteJSON(w, http.StatusOK, rep)
			}},
		{Method: "POST", Path: "/v1/hosts/{name}/converge", Access: domain.Operator(), Doc: "Ask a host to converge now, without waiting for its timer.",
			Response: api.Converge{}, Handle: f.convergeNow},
		{Method: "POST", Path: "/v1/plan", Access: domain.Operator(),
			Doc:      "What a revision or a working tree would change.\nSend a revision's name as JSON, or the tree as a tar, plain or compressed by gzip or zstd. Connected hosts are asked by a check run.",
			Response: api.Plan{}, Request: api.PlanRequest{}, MaxBody: maxTree, Quiet: true, Handle: f.servePlan},

		{Method: "GET", Path: "/fleet.git/info/refs", Access: domain.Viewer(), Basic: true, Internal: true, Doc: "Git: what there is.", Handle: f.infoRefs},
		{Method: "POST", Path: "/fleet.git/git-upload-pack", Access: domain.Viewer(), Basic: true, Internal: true, Quiet: true, Stream: true, MaxBody: unbounded, Doc: "Git: fetch.", Handle: f.repo.Upload},
		{Method: "POST", Path: "/fleet.git/git-receive-pack", Access: domain.Operator(), Basic: true, Internal: true, Stream: true, MaxBody: unbounded, Doc: "Git: push.", Handle: f.receive},
	}...)
}

// convergeTime is how long a converge that was asked for may take.
const convergeTime = time.Hour

func (f *Fleet) convergeNow(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if _, err := f.hosts.Get(r.Context(), name); err != nil {
		return err
	}
	c := api.Converge{ID: "converge-" + rand.Text(), Deadline: f.s.Now().Add(convergeTime).UTC()}
	if err := f.s.Hub.Send(name, &api.ToAgent{Converge: &c}); err != nil {
		return err
	}
	domain.Note(r.Context(), "host/"+name, "")
	return domain.WriteJSON(w, http.StatusAccepted, c)
}
