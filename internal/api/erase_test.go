package api

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	erasing "github.com/applylens/applylens/internal/person"
)

// Who asked is not who has the id when the change is made, if they were erased in between and somebody else came.
func TestRequestOfAnErasedPersonIsNotTheNextOnes(t *testing.T) {
	between := func() {}
	w := newDeployment(t, func(c *Config) {
		c.Gate = func(*pgx.Batch, string) { between() }
	})
	ann := w.person("ann")
	action := ann.action()
	between = func() {
		if _, err := erasing.Erase(t.Context(), w.Pool, "ann"); err != nil {
			t.Error(err)
		}
		w.person("ann")
	}
	ann.post("/actions/"+action.ID+"/approve", nil).want(http.StatusUnauthorized)
}
