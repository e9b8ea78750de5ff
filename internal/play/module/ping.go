package module

import "context"

var pingModule = &Module{
	Name:   "ping",
	Params: []Param{{Name: "data", Default: "pong"}},
	Run: func(_ context.Context, c *Call) *Result {
		if c.Str("data") == "crash" {
			panic("boom")
		}
		return (&Result{}).Set("ping", c.Str("data"))
	},
}
