// Package schema embeds the durable formats of ApplyLens: the SQL migrations, the JSON Schemas of the events, the AsyncAPI
// document, the Elasticsearch index and the views over warehouses. It has no logic.
package schema

import "embed"

// Migrations are the SQL files in migrations/, in goose's format.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Events are the JSON Schemas (2020-12) of the payloads, named by type: "events/applylens.action.approved.v1.json". Besides the
// standard keywords they use x-maxBytes, the greatest length of a string in bytes of UTF-8. Validators that do not support
// it are slightly too lenient.
//
//go:embed events/*.json
var Events embed.FS

// EmailIndex is the Elasticsearch index of mails: settings and mapping. mappings._meta.version increases with every change.
// Queries use words, values, numbers and times, which contain normalised values; times are in microseconds. has lists the
// fields of a mail. received_at and ats are for people and dashboards.
//
//go:embed elasticsearch/emails.json
var EmailIndex []byte

// AsyncAPI is the AsyncAPI 3 document of the topics and their messages. It refers to the files of Events.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte

// Warehouse are the queries of vw_applications_enriched over the tables of one account of an applicant tracking system,
// by dialect and system: "warehouse/postgresql/greenhouse.sql". {{schema}} is replaced with the account's quoted schema, and
// {{company}} with its employer as a literal.
//
//go:embed warehouse/*/*.sql
var Warehouse embed.FS
