package filter

import (
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func fJSONQuery(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "expr"); err != nil {
		return nil, err
	}
	return nil, filterError("json_query is not there yet")
}
