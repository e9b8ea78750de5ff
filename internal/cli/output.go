package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"drover/api"
	"drover/internal/domain"
)

// printValue prints a value as JSON or YAML, as -o says; JSON if it says neither.
func (a *app) printValue(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	if a.output == "yaml" {
		text, err := jsonToYAML(b)
		if err != nil {
			return err
		}
		_, err = io.WriteString(a.Out, text)
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", b)
	return err
}

// jsonToYAML keeps the order of the fields.
func jsonToYAML(b []byte) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return "", fmt.Errorf("cannot print as YAML: %w", err)
	}
	block(&doc)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return "", fmt.Errorf("cannot print as YAML: %w", err)
	}
	return out.String(), nil
}

// block turns JSON's flow style and quotes into YAML's usual look.
func block(n *yaml.Node) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		if len(n.Content) > 0 {
			n.Style = 0
		}
	} else if n.Kind == yaml.ScalarNode {
		n.Style = 0
		if n.Tag == "!!str" && strings.Contains(n.Value, "\n") {
			n.Style = yaml.LiteralStyle
		}
	}
	for _, c := range n.Content {
		block(c)
	}
}

// document is one object of a file given to apply, diff or delete.
type document struct {
	place api.Place
	kind  string
	name  string
	json  []byte
	node  *yaml.Node
}

// readDocuments reads YAML or JSON documents, each an object with kind and name.
func readDocuments(file string, src []byte) ([]document, error) {
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var docs []document
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, yamlError(file, err)
		}
		if len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
			continue
		}
		// A list, as `drover get -o yaml` prints it, is its objects.
		bodies := []*yaml.Node{n.Content[0]}
		if n.Content[0].Kind == yaml.SequenceNode {
			bodies = n.Content[0].Content
		}
		for _, body := range bodies {
			d, err := readDocument(file, body)
			if err != nil {
				return nil, err
			}
			docs = append(docs, d)
		}
	}
	if len(docs) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "%s holds no object", file).WithRemedy("write `kind:`, `name:` and `spec:`")
	}
	return docs, nil
}

func readDocument(file string, body *yaml.Node) (document, error) {
	place := api.Place{File: file, Line: body.Line, Column: body.Column}
	wrong := func(field, remedy, format string, args ...any) (document, error) {
		return document{}, &api.Error{Code: api.CodeInvalid, Place: &place, Field: field, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	if body.Kind != yaml.MappingNode {
		return wrong("", "write `kind:`, `name:` and `spec:`", "this is not an object")
	}
	var v map[string]any
	if err := body.Decode(&v); err != nil {
		return document{}, yamlError(file, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return wrong("", "use text as keys", "this cannot be JSON: %v", err)
	}
	d := document{place: place, json: b, node: body}
	d.kind, _ = v["kind"].(string)
	d.name, _ = v["name"].(string)
	switch {
	case d.kind == "":
		return wrong("kind", "add `kind: …`", "the object has no kind")
	case d.name == "":
		return wrong("name", "add `name: …`", "the object has no name")
	}
	return d, nil
}

// placeOf is where a field is, by its dotted path, or else where what is nearest
// to it begins.
func (d document) placeOf(path string) api.Place {
	place, n := d.place, d.node
	for n != nil && path != "" {
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i]
				rest, ok := strings.CutPrefix(path, key.Value)
				// A key may have dots itself, such as a label's.
				if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
					continue
				}
				place.Line, place.Column = key.Line, key.Column
				next, path = n.Content[i+1], strings.TrimPrefix(rest, ".")
				break
			}
		case yaml.SequenceNode:
			number, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
			i, err := strconv.Atoi(number)
			if ok && err == nil && i < len(n.Content) {
				next, path = n.Content[i], strings.TrimPrefix(rest, ".")
				place.Line, place.Column = next.Line, next.Column
			}
		}
		n = next
	}
	return place
}

// yamlPlace is how the parser says where: "… at L2.C7-L3.C1: what is wrong".
var yamlPlace = regexp.MustCompile(`L(\d+)\.C(\d+)[^:]*: (.*)`)

// yamlError gives a parser's error the place it names.
func yamlError(file string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	place := api.Place{File: file}
	if m := yamlPlace.FindStringSubmatch(msg); m != nil {
		place.Line, _ = strconv.Atoi(m[1]) // digits
		place.Column, _ = strconv.Atoi(m[2])
		msg = m[3]
	}
	return &api.Error{Code: api.CodeInvalid, Place: &place, Message: "this is not YAML: " + msg,
		Remedy: "check indentation, colons and quotes there"}
}

// nearest is the candidate that a misspelt name most likely meant, or "".
func nearest(name string, candidates []string) string { return domain.Nearest(name, candidates) }
