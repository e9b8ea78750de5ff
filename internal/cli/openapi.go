package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"drover/internal/server"
	"drover/internal/version"
)

func newOpenAPICommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "openapi", GroupID: groupServer,
		Short: "Print the description of the API",
		Long: `Print the OpenAPI 3.1 document of this program's server, for tools that make
clients of it. No server is asked: one that runs serves its own at
/openapi.json.`,
		Example: `  drover openapi > openapi.json`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := server.Document(ctxOf(cmd), first(a.Version, version.Version), a.Rooms)
			if err != nil {
				return err
			}
			if a.output == "yaml" {
				var v any
				if err := json.Unmarshal(doc, &v); err != nil {
					return fmt.Errorf("cannot print the description of the API: %w", err)
				}
				return a.printValue(v)
			}
			_, err = a.Out.Write(append(bytes.TrimSpace(doc), '\n'))
			return err
		},
	}
}
