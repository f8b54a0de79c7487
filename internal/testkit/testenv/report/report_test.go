package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}` + "\n"
	tests := []struct {
		name, input string
		everything  bool
		good        bool
		want        []string
		absent      string
	}{
		{
			name:  "passed tests print no output",
			input: `{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}` + "\n" + pass + `{"Action":"pass","Package":"p","Elapsed":1.5}`,
			good:  true, want: []string{"ok   p: 1 tests in 1.5s\n", "\n1 passed, 0 failed, 0 skipped\n"}, absent: "chatter",
		},
		{
			name: "the output of a failed test is printed",
			input: pass + `{"Action":"output","Package":"p","Test":"TestB","Output":"b_test.go:1: wrong\n"}` + "\n" +
				`{"Action":"fail","Package":"p","Test":"TestB"}` + "\n" + `{"Action":"fail","Package":"p"}`,
			want: []string{"FAIL p TestB", "b_test.go:1: wrong\n", "FAIL p: 1 of 2 tests", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a package that does not compile is a failure",
			input: pass + `{"ImportPath":"q","Action":"build-output","Output":"q.go:1: undefined: x\n"}` + "\n" +
				`{"Action":"output","Package":"q","Output":"FAIL\tq [build failed]\n"}` + "\n" + `{"Action":"fail","Package":"q"}`,
			want: []string{"q.go:1: undefined: x\n", "FAIL q\n", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a skipped test is reported with its reason",
			input: pass + `{"Action":"output","Package":"p","Test":"TestC","Output":"=== RUN   TestC\n"}` + "\n" +
				`{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: set KAFKA_BROKERS\n"}` + "\n" +
				`{"Action":"skip","Package":"p","Test":"TestC"}`,
			good: true, want: []string{"skip p TestC: c_test.go:9: set KAFKA_BROKERS\n", "\n1 passed, 0 failed, 1 skipped\n"},
		},
		{
			name:  "a skipped test fails where everything must run",
			input: pass + `{"Action":"skip","Package":"p","Test":"TestC"}`, everything: true,
			want: []string{"allows no test to be skipped", "\n1 passed, 0 failed, 1 skipped\n"},
		},
		{name: "no test is a failure", want: []string{"no test ran", "0 passed, 0 failed, 0 skipped\n"}},
		{name: "other lines are kept", input: "go: downloading\n" + pass, good: true, want: []string{"go: downloading\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var output strings.Builder
			report := newReport(&output)
			if err := report.read(strings.NewReader(test.input)); err != nil {
				t.Fatal(err)
			}
			if good := report.close(test.everything); good != test.good {
				t.Errorf("close = %t, want %t", good, test.good)
			}
			for _, want := range test.want {
				if !strings.Contains(output.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, output.String())
				}
			}
			if test.absent != "" && strings.Contains(output.String(), test.absent) {
				t.Errorf("output contains %q:\n%s", test.absent, output.String())
			}
		})
	}
}
