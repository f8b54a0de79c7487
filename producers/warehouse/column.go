package warehouse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/applylens/applylens/internal/printable"
)

// The columns of vw_applications_enriched, in the order of its definition.
const (
	columnSystem = iota
	columnApplicationID
	columnAddresses
	columnCompany
	columnStage
	columnLastStageChange
	columnInterviewDate
	columnSyncedAt
	columnDeleted
	columnCount
)

var columnNames = [columnCount]string{"system", "application_id", "addresses", "company", "stage", "last_stage_change",
	"interview_date", "synced_at", "deleted"}

// columnKinds are the permitted kinds of a column, besides KindUnknown.
var columnKinds = [columnCount][]Kind{
	columnSystem:          {KindText},
	columnApplicationID:   {KindText, KindNumber},
	columnAddresses:       {KindTexts, KindText},
	columnCompany:         {KindText},
	columnStage:           {KindText},
	columnLastStageChange: {KindTime},
	columnInterviewDate:   {KindTime},
	columnSyncedAt:        {KindTime},
	columnDeleted:         {KindBool},
}

// places has the index of each column in a row.
type places [columnCount]int

// locate finds the columns, in any order and case, among others. If the source knows their kinds, it checks them. It returns
// a *DriftError that names every fault.
func locate(columns []Column) (places, error) {
	var at places
	var faults []string
	for i, name := range columnNames {
		at[i] = slices.IndexFunc(columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
		if at[i] < 0 {
			faults = append(faults, fmt.Sprintf("column %s is missing", name))
			continue
		}
		if kind := columns[at[i]].Kind; kind != KindUnknown && !slices.Contains(columnKinds[i], kind) {
			faults = append(faults, fmt.Sprintf("column %s is of the type %s where %s is needed", name, kind, columnKinds[i][0]))
		}
	}
	if faults == nil {
		return at, nil
	}
	detail := strings.Join(faults, "; ")
	if strangers := unknown(columns); len(strangers) > 0 {
		detail += "; there are also the columns " + strings.Join(strangers, ", ")
	}
	return at, &DriftError{detail}
}

// unknown lists some of the columns that the view does not define: one may be the new name of a missing column.
func unknown(columns []Column) []string {
	const most = 10
	var names []string
	for _, c := range columns {
		known := slices.ContainsFunc(columnNames[:], func(name string) bool { return strings.EqualFold(c.Name, name) })
		if !known && len(names) < most {
			names = append(names, shorten(c.Name))
		}
	}
	return names
}

// shorten shortens untrusted text and makes it printable.
func shorten(text string) string {
	const most = 100
	runes := []rune(printable.Text(text))
	if len(runes) > most {
		runes = append(runes[:most], '…')
	}
	return string(runes)
}
