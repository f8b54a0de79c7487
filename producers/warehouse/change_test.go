package warehouse

import (
	"errors"
	"strings"
	"testing"
)

func TestChanges(t *testing.T) {
	row := `{"system":"lever","application_id":"7","addresses":["a@x.example"],"company":"Acme","stage":"Onsite","last_stage_change":1773135000000000,"interview_date":null}`
	key := `{"system":"lever","application_id":"7"}`
	f := func(key, value string, kind changeKind, stage any) {
		t.Helper()
		got, err := parseChange([]byte(key), []byte(value))
		if err != nil || got.kind != kind {
			t.Errorf("%s gives %v and %v", value, got.kind, err)
			return
		}
		if kind != changePut && kind != changeDelete {
			return
		}
		if got.values[columnSystem] != "lever" || got.values[columnApplicationID] != "7" || got.values[columnStage] != stage {
			t.Errorf("%s gives %v", value, got.values)
		}
	}
	f(key, `{"op":"c","before":null,"after":`+row+`}`, changePut, "Onsite")
	f(key, `{"op":"u","before":`+row+`,"after":`+row+`,"ts_ms":1}`, changePut, "Onsite")
	f(key, `{"op":"r","after":`+row+`,"source":{"snapshot":"true"}}`, changePut, "Onsite")
	f(key, `{"schema":{"type":"struct"},"payload":{"op":"c","after":`+row+`}}`, changePut, "Onsite")
	f(key, `{"op":"d","before":`+row+`,"after":null}`, changeDelete, nil)
	f(key, `{"op":"d","before":null}`, changeDelete, nil) // without REPLICA IDENTITY FULL there is only the key
	f(key, ``, changeDelete, nil)
	f(`{"schema":{},"payload":`+key+`}`, `null`, changeDelete, nil)
	f(``, `{"op":"t"}`, changeTruncate, nil)
	f(key, `{"op":"c","after":`+row+`,"OP":"d","After":{},"BEFORE":7}`, changePut, "Onsite") // names are exact
	f(key, `{"op":"c","after":`+row+`,"Schema":{},"Payload":{}}`, changePut, "Onsite")
	f(``, `{"op":"m","message":{}}`, changeNone, nil)
	for _, wrong := range [][2]string{{key, `[]`}, {key, `{"a":1}`}, {key, `{"op":"x"}`}, {key, "\xff"}, {`"7"`, ``}, {`{"id":7}`, ``}, {``, `{"op":"d"}`}} {
		got, err := parseChange([]byte(wrong[0]), []byte(wrong[1]))
		var drift *DriftError
		if err == nil || errors.As(err, &drift) {
			t.Errorf("%q %q gives %v and %v", wrong[0], wrong[1], got, err)
		}
	}
	_, err := parseChange(nil, []byte(`{"op":"c","after":{"system":"lever","application_id":"7","stage_name":"Onsite"}}`))
	var drift *DriftError
	if !errors.As(err, &drift) || !strings.Contains(drift.Detail, "column stage is missing") {
		t.Errorf("a row without its columns gives %v", err)
	}
}
