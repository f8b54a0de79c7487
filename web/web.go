// Package web embeds the templates and the files of the web page. The folder page has what the pages do.
package web

import "embed"

// Templates are the pages and their components, for html/template.
//
//go:embed template/*.html
var Templates embed.FS

// Static are the stylesheet, the scripts and the icon.
//
//go:embed static
var Static embed.FS
