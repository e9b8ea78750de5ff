package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"drover/api"
)

// RunQuery narrows a list of runs; its zero value asks for the newest.
type RunQuery struct {
	Kinds                      []string
	Host, Actor, State, Commit string
	Before                     string // Next of the page before
	Limit                      int    // the server's if 0
}

// Runs lists a page of runs, the newest first.
func (c *Client) Runs(ctx context.Context, q RunQuery) (*api.RunList, error) {
	v := url.Values{}
	for name, value := range map[string]string{"kind": strings.Join(q.Kinds, ","), "host": q.Host, "actor": q.Actor, "state": q.State, "commit": q.Commit, "before": q.Before} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	var list api.RunList
	return &list, c.Call(ctx, http.MethodGet, "/v1/runs?"+v.Encode(), nil, &list)
}

// Run reads one run with its hosts.
func (c *Client) Run(ctx context.Context, id string) (*api.RunDetail, error) {
	var d api.RunDetail
	return &d, c.Call(ctx, http.MethodGet, Path("v1", "runs", id), nil, &d)
}

// Detached runs a command, or with a ConvergeRequest a converge, that goes on
// without a reader. The request's Detach has to be set.
func (c *Client) Detached(ctx context.Context, request any) (*api.RunRecord, error) {
	path := "/v1/runs"
	switch request.(type) {
	case api.RunRequest, *api.RunRequest:
	case api.ConvergeRequest, *api.ConvergeRequest:
		path = "/v1/converge"
	default:
		return nil, fmt.Errorf("cannot run a %T", request)
	}
	var r api.RunRecord
	return &r, c.Call(ctx, http.MethodPost, path, request, &r)
}

// CancelRun ends a run that goes on.
func (c *Client) CancelRun(ctx context.Context, id string) (*api.RunRecord, error) {
	var r api.RunRecord
	return &r, c.Call(ctx, http.MethodPost, Path("v1", "runs", id, "cancel"), nil, &r)
}

// FollowRun hands over the events of a command or a converge from its
// beginning, until it ends. It goes on where it was when the connection breaks.
func (c *Client) FollowRun(ctx context.Context, id string, fn func(api.RunEvent) error) error {
	return c.Follow(ctx, Path("v1", "runs", id, "events"), nil, func(m Message) error {
		var e api.RunEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return fmt.Errorf("cannot read the run: %w", err)
		}
		if err := fn(e); err != nil {
			return err
		}
		if e.End != nil {
			return ErrStop
		}
		return nil
	})
}

// RunOutput is what a host printed in a command, and whether it printed more
// than is kept. The caller closes it.
func (c *Client) RunOutput(ctx context.Context, id, host string) (out io.ReadCloser, truncated bool, err error) {
	resp, err := c.Do(ctx, http.MethodGet, Path("v1", "runs", id, "output")+"?host="+url.QueryEscape(host), nil, nil)
	if err != nil {
		return nil, false, err
	}
	return resp.Body, resp.Header.Get("X-Truncated") == "true", nil
}

// RunReport is the report of a host in a converge or an apply.
func (c *Client) RunReport(ctx context.Context, id, host string) (*api.Report, error) {
	var r api.Report
	return &r, c.Call(ctx, http.MethodGet, Path("v1", "runs", id, "report")+"?host="+url.QueryEscape(host), nil, &r)
}

// RunTasks is what the tasks of a play came to on a host.
func (c *Client) RunTasks(ctx context.Context, id, host string) (*api.TaskList, error) {
	var l api.TaskList
	return &l, c.Call(ctx, http.MethodGet, Path("v1", "runs", id, "tasks")+"?host="+url.QueryEscape(host), nil, &l)
}
