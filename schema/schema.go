// Package schema holds the durable shapes of ApplyLens as embedded files: the SQL migrations, the JSON Schemas of the
// events, the AsyncAPI document, the Elasticsearch index and the views over warehouses. It holds no logic beyond handing
// them out.
package schema

import "embed"

// Migrations are the SQL files in migrations/, in goose's form.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Events are the JSON Schemas (2020-12) of the payloads, in events/ under the name of their type:
// "events/applylens.action.approved.v1.json". Beside the standard keywords they use x-maxBytes, the greatest length of
// a string in bytes of UTF-8; a validator that does not know it is a little too lenient.
//
//go:embed events/*.json
var Events embed.FS

// EmailIndex is the Elasticsearch index of mails: settings and mapping. mappings._meta.version grows with every change.
// What queries compare stands in words, values, numbers and times, in the form in which it is compared; times are
// microseconds. has lists the fields that a mail has. received_at and ats are for people and dashboards.
//
//go:embed elasticsearch/emails.json
var EmailIndex []byte

// AsyncAPI is the AsyncAPI 3 document of the topics and their messages; it refers to the files of Events.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte

// Warehouse are the queries of vw_applications_enriched over the tables of one account of an applicant tracking system,
// by dialect and system: "warehouse/postgresql/greenhouse.sql". {{schema}} stands for the account's schema, quoted, and
// {{company}} for its employer as a literal.
//
//go:embed warehouse/*/*.sql
var Warehouse embed.FS
