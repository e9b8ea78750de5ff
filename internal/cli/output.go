package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	d := document{place: place, json: b}
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

// yamlError gives a parser's error the place it names.
func yamlError(file string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	place := api.Place{File: file}
	if i := strings.Index(msg, "line "); i >= 0 {
		var line int
		if _, e := fmt.Sscanf(msg[i:], "line %d", &line); e == nil {
			place.Line = line
		}
	}
	return &api.Error{Code: api.CodeInvalid, Place: &place, Message: "this is not YAML: " + msg,
		Remedy: "check indentation, colons and quotes there"}
}

// nearest is the candidate that a misspelt name most likely meant, or "".
func nearest(name string, candidates []string) string { return domain.Nearest(name, candidates) }
