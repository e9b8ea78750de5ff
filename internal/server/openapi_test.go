package server_test

import (
	"encoding/json"
	"slices"
	"testing"

	"drover/internal/domain"
	"drover/internal/server"
)

// What an answer always has is required; what only a request has is not.
func TestTheDocumentSaysWhatIsAlwaysThere(t *testing.T) {
	b, err := server.Document(t.Context(), "1.2.3", []domain.Room{widgets()})
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Info       struct{ Version string }
		Components struct {
			Schemas map[string]struct{ Required []string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil || d.Info.Version != "1.2.3" {
		t.Fatalf("version %q, %v", d.Info.Version, err)
	}
	for name, want := range map[string][]string{
		"Event":         {"message", "seq", "time", "type"},
		"LoginResponse": {"expires", "person", "role"},
		"LoginRequest":  nil,
		"NewPassword":   nil,
		"Token":         {"kind", "name", "spec"},
		"Error":         {"code", "message"},
	} {
		if got := d.Components.Schemas[name].Required; !slices.Equal(got, want) {
			t.Errorf("of %s %v are required, want %v", name, got, want)
		}
	}
}
