package search

// Field is what a comparison looks at, by the name that queries and conditions use.
type Field string

// The fields that a Node can name.
const (
	Subject      Field = "subject"
	Body         Field = "body"
	Sender       Field = "sender"
	To           Field = "to"
	SenderDomain Field = "sender_domain"
	Category     Field = "category"
	Labels       Field = "labels"
	ListID       Field = "list_id"
	ID           Field = "id"
	Quarantined  Field = "quarantined"
	RiskScore    Field = "risk_score"
	ReceivedAt   Field = "received_at"
	ExpiresAt    Field = "expires_at"
	Stage        Field = "ats.stage"
	System       Field = "ats.system"
	Company      Field = "ats.company"
	GhostingRisk Field = "ats.ghosting_risk"
)

// kind tells how the values of a field are written and compared.
type kind uint8

const (
	freeKind   kind = iota // words in subject or body, for what names no field
	textKind               // words
	personKind             // an address, or words of a name and an address
	valueKind              // a value as a whole
	idKind                 // a UUID
	flagKind               // true or false
	numberKind             // a number
	timeKind               // a time
	ageKind                // whole days since a time
)

// column is a field as queries name it.
type column struct {
	field Field
	kind  kind
}

var free = column{kind: freeKind}

// columns are the names that a query may use. Ages are those of the field beside them.
var columns = map[string]column{
	"subject":           {Subject, textKind},
	"body":              {Body, textKind},
	"text":              {Body, textKind},
	"sender":            {Sender, personKind},
	"from":              {Sender, personKind},
	"to":                {To, personKind},
	"recipients":        {To, personKind},
	"sender_domain":     {SenderDomain, valueKind},
	"category":          {Category, valueKind},
	"labels":            {Labels, valueKind},
	"label":             {Labels, valueKind},
	"list_id":           {ListID, valueKind},
	"id":                {ID, idKind},
	"quarantined":       {Quarantined, flagKind},
	"risk_score":        {RiskScore, numberKind},
	"received_at":       {ReceivedAt, timeKind},
	"expires_at":        {ExpiresAt, timeKind},
	"age_days":          {ReceivedAt, ageKind},
	"expired_days":      {ExpiresAt, ageKind},
	"ats.stage":         {Stage, valueKind},
	"ats.system":        {System, valueKind},
	"ats.company":       {Company, valueKind},
	"ats.ghosting_risk": {GhostingRisk, numberKind},
}

// ordered tells whether ranges and comparisons apply.
func (c column) ordered() bool { return c.kind >= numberKind }
