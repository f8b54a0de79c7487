// Package schema holds the durable shapes of ApplyLens as embedded files: the SQL migrations, the JSON Schemas of the
// events and the AsyncAPI document. It holds no logic beyond handing them out.
package schema

import "embed"

// Migrations are the SQL files in migrations/, in goose's form.
//
//go:embed migrations/*.sql
var Migrations embed.FS
