package mailimport

import (
	"path"
	"regexp"
	"strings"
)

// evidence is what a message says about its own trustworthiness.
type evidence struct {
	authentication string // the first Authentication-Results, which the owner's own server wrote
	spamFlag       string // X-Spam-Flag
	spamStatus     string // X-Spam-Status
	list           bool   // the message came over a mailing list, which breaks signatures
	spamFolder     bool   // the owner's provider put it among the spam
	attachments    []string
}

var (
	verdict = regexp.MustCompile(`(?i)\b(spf|dkim|dmarc)\s*=\s*([a-z]+)`)

	// executable are the endings of attachments that run when they are opened.
	executable = map[string]bool{".exe": true, ".scr": true, ".pif": true, ".bat": true, ".com": true, ".cmd": true,
		".vbs": true, ".js": true, ".jse": true, ".wsf": true, ".hta": true, ".lnk": true, ".msi": true, ".jar": true}
)

// riskScore returns 0..100, or nil when nothing speaks: a failed dmarc counts 60 (20 over a mailing list), a failed
// spf or dkim 20, a soft failure 10, an attachment that runs 50, a spam filter's verdict 85, the spam folder 90.
func (e evidence) riskScore() *int {
	score, known := 0, false
	results := map[string]string{}
	for _, m := range verdict.FindAllStringSubmatch(e.authentication, -1) {
		method, result := strings.ToLower(m[1]), strings.ToLower(m[2])
		if results[method] != "pass" { // one signature that holds is enough
			results[method] = result
		}
		known = true
	}
	for method, result := range results {
		score += authenticationRisk(method, result, e.list)
	}
	for _, name := range e.attachments {
		if executable[strings.ToLower(path.Ext(strings.TrimSpace(name)))] {
			score, known = score+50, true
			break
		}
	}
	if strings.EqualFold(strings.TrimSpace(e.spamFlag), "yes") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(e.spamStatus)), "yes") {
		score, known = max(score, 85), true
	}
	if e.spamFolder {
		score, known = max(score, 90), true
	}
	if !known {
		return nil
	}
	score = min(score, 100)
	return &score
}

func authenticationRisk(method, result string, list bool) int {
	switch {
	case result == "softfail":
		return 10
	case result != "fail":
		return 0
	case method == "dmarc" && !list:
		return 60
	}
	return 20
}
