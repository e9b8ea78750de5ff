package play

import (
	"regexp"
	"strings"

	"drover/api"
)

// pythonType is how modules name the type of an argument.
var pythonType = regexp.MustCompile(`<class '([A-Za-z]+)'>`)

var plainTypes = map[string]string{"str": "text", "bool": "a boolean", "list": "a list", "dict": "a dictionary", "int": "a whole number", "float": "a number", "NoneType": "empty"}

// plain says what is wrong with a repository in plain words, where a running
// module says it in Python's, which playbooks' authors may match on.
func plain(list []*api.Error) []*api.Error {
	for i, e := range list {
		c := *e
		c.Message = pythonType.ReplaceAllStringFunc(c.Message, func(s string) string {
			if word := plainTypes[pythonType.FindStringSubmatch(s)[1]]; word != "" {
				return word
			}
			return s
		})
		c.Message, _, _ = strings.Cut(c.Message, " Valid booleans include:")
		c.Message = strings.ReplaceAll(c.Message, "is of type ", "is ")
		list[i] = &c
	}
	return list
}
