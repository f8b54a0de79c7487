package mailimport

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// askPython runs a Python program that defines answer(text), and returns its answers to all texts. One process answers all. The
// texts are bytes: Python sees those that are not UTF-8 as its own parser of messages does.
func askPython[Answer any](t *testing.T, program string, texts []string) []Answer {
	t.Helper()
	python := os.Getenv("PYTHON")
	if python == "" {
		t.Skip("set PYTHON to the command of Python 3, such as python3, to run this test")
	}
	const loop = `
import base64, json, sys
for line in sys.stdin:
    print(json.dumps(answer(base64.b64decode(line).decode("utf-8", "surrogateescape"))))
`
	var in bytes.Buffer
	for _, text := range texts {
		in.WriteString(base64.StdEncoding.EncodeToString([]byte(text)) + "\n")
	}
	command := exec.CommandContext(t.Context(), python, "-c", program+loop)
	command.Stdin, command.Stderr = &in, os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := make([]Answer, 0, len(texts))
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var answer Answer
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		answers = append(answers, answer)
	}
	if len(answers) != len(texts) {
		t.Fatalf("%d answers to %d texts", len(answers), len(texts))
	}
	return answers
}

// difference is a rule by which another implementation reads some texts otherwise, and what it reads then.
type difference[Text, Answer any] struct {
	why     string
	applies func(text Text) bool
	change  func(text Text, answer Answer) Answer
}

// comparison counts the texts that another implementation was compared with, and those that each rule was needed for.
type comparison[Text, Answer any] struct {
	beyond   map[string]func(Text) bool // what the other one cannot read, and misunderstands when it does
	rules    []difference[Text, Answer]
	needed   map[string]int
	compared int
}

// expect returns what is expected of the other implementation for a text that means the answer; false if that is beyond it.
func (c *comparison[Text, Answer]) expect(text Text, answer Answer) (Answer, bool) {
	if c.needed == nil {
		c.needed = map[string]int{}
	}
	for why, applies := range c.beyond {
		if applies(text) {
			c.needed[why]++
			return answer, false
		}
	}
	c.compared++
	for _, rule := range c.rules {
		if rule.applies(text) {
			answer = rule.change(text, answer)
			c.needed[rule.why]++
		}
	}
	return answer, true
}

// check fails unless that many texts were compared, and each rule was needed for some.
func (c *comparison[Text, Answer]) check(t *testing.T, least int) {
	t.Helper()
	t.Logf("%d are compared", c.compared)
	if c.compared < least {
		t.Errorf("only %d are compared, want %d", c.compared, least)
	}
	rules := slices.Sorted(maps.Keys(c.beyond))
	for _, rule := range c.rules {
		rules = append(rules, rule.why)
	}
	for _, why := range rules {
		if t.Logf("%5d: %s", c.needed[why], why); c.needed[why] == 0 {
			t.Errorf("no text needs the rule: %s", why)
		}
	}
}

// withPython compares what texts mean with Python's answers, of which some are none.
func (c *comparison[Text, Answer]) withPython(t *testing.T, program string, texts []Text, written func(Text) string, meant func(Text) Answer) {
	t.Helper()
	list, none := make([]string, len(texts)), 0
	for i, text := range texts {
		list[i] = written(text)
	}
	for i, answer := range askPython[*Answer](t, program, list) {
		if answer == nil {
			none++
			continue
		}
		want, ok := c.expect(texts[i], meant(texts[i]))
		if diff := cmp.Diff(want, *answer, cmpopts.EquateEmpty()); ok && diff != "" {
			t.Errorf("%q (-want +Python): %s", list[i], diff)
		}
	}
	t.Logf("%d are none for Python", none)
}

// corpus returns so many texts, or many times more with SOAK.
func corpus[Text any](count int, write func() Text) []Text {
	if os.Getenv("SOAK") != "" {
		count *= 50
	}
	texts := make([]Text, count)
	for i := range texts {
		texts[i] = write()
	}
	return texts
}

// writer makes up texts by a grammar, the same in each run.
type writer struct {
	*rand.Rand
	plain  bool            // nothing in the text is unusual
	traits map[string]bool // what is unusual in it
}

func newWriter(seed uint64) writer { return writer{Rand: rand.New(rand.NewPCG(5322, seed))} }

// begin begins a text.
func (w *writer) begin(plain bool) { w.plain, w.traits = plain, map[string]bool{} }

func (w *writer) one(of ...string) string { return of[w.IntN(len(of))] }

// rarely is true one time in so many, and notes the trait.
func (w *writer) rarely(in int, trait string) bool {
	if w.plain || w.IntN(in) > 0 {
		return false
	}
	w.traits[trait] = true
	return true
}
