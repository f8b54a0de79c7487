package mailhtml

import (
	"regexp"

	"github.com/microcosm-cc/bluemonday"
)

// elements are those that may stay. The text of others stays.
var elements = setOf("address", "article", "b", "bdi", "bdo", "big", "blockquote", "br", "caption", "center", "cite", "code", "col", "colgroup", "dd", "del",
	"div", "dl", "dt", "em", "footer", "font", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "ins", "kbd", "li", "main", "mark", "ol", "p", "pre", "q", "s",
	"samp", "section", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul", "wbr")

var (
	number = regexp.MustCompile(`^[0-9]{1,4}$`)
	length = regexp.MustCompile(`^[0-9]{1,4}(px|%)?$`)
	word   = regexp.MustCompile(`^[A-Za-z-]{1,20}$`)
	colour = regexp.MustCompile(`^(#?[0-9A-Fa-f]{3,8}|[A-Za-z]{1,20})$`)
	fonts  = regexp.MustCompile(`^[\p{L}0-9 ,'-]{1,200}$`)
)

// attributes are those that may stay on any element, with what their values have to be. None of them makes a browser load anything.
// title and style are beside them: of links, and by declarations.
var attributes = map[string]*regexp.Regexp{
	"align": word, "valign": word, "dir": regexp.MustCompile(`^(?i:ltr|rtl|auto)$`), "lang": regexp.MustCompile(`^[A-Za-z0-9-]{1,35}$`),
	"width": length, "height": length, "border": length, "cellpadding": length, "cellspacing": length,
	"colspan": number, "rowspan": number, "start": number, "size": regexp.MustCompile(`^[+-]?[0-9]{1,2}$`),
	"bgcolor": colour, "color": colour, "face": fonts,
}

// properties are the declarations of a style attribute that may stay: colours, type and boxes. Nothing among them places an element
// over others.
var properties = []string{
	"background-color", "background", "color", "font", "font-family", "font-size", "font-style", "font-weight", "letter-spacing", "line-height",
	"text-align", "text-decoration", "text-indent", "text-transform", "vertical-align", "white-space", "direction", "display",
	"width", "max-width", "min-width", "height", "max-height", "min-height", "list-style-type",
	"padding", "padding-top", "padding-right", "padding-bottom", "padding-left", "margin", "margin-top", "margin-right", "margin-bottom", "margin-left",
	"border", "border-top", "border-right", "border-bottom", "border-left", "border-color", "border-style", "border-width", "border-radius",
	"border-collapse", "border-spacing",
}

// plainValue is what values of declarations consist of: words, numbers, colours and names of fonts. The only functions are those of colours.
var plainValue = regexp.MustCompile(`^(?:[\p{L}0-9 #%.,'"!+-]|rgba?\([0-9 .,%]+\)|hsla?\([0-9 .,%]+\)){1,200}$`)

// allowed lets stay what the lists say. It is safe for concurrent use.
var allowed = rules()

func rules() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	for name := range elements {
		p.AllowElements(name)
		p.AllowNoAttrs().OnElements(name)
	}
	for name, value := range attributes {
		p.AllowAttrs(name).Matching(value).Globally()
	}
	p.AllowAttrs("title").OnElements("u")
	p.AllowStyles(properties...).Matching(plainValue).Globally()
	return p
}

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}
