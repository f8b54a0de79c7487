package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestModelSettings(t *testing.T) {
	f := func(m Model, faults ...string) {
		t.Helper()
		m.LLMTimeout, m.LLMFirstTimeout = time.Minute, time.Second
		err := m.Validate()
		if (err == nil) != (len(faults) == 0) {
			t.Errorf("%+v: %v", m, err)
		}
		for _, fault := range faults {
			if err != nil && !strings.Contains(err.Error(), fault) {
				t.Errorf("%v does not say %q", err, fault)
			}
		}
	}
	f(Model{})
	f(Model{LLMBaseURL: "http://127.0.0.1:11434/v1", LLMModel: "small"})
	f(Model{LLMBaseURL: "https://models.example/v1", LLMModel: "small", LLMAPIKey: "k"})
	f(Model{LLMBaseURL: "models.example"}, "--llm-base-url", "--llm-model")
	f(Model{LLMBaseURL: "https://ann:secret@models.example", LLMModel: "small"}, "without a password")
	f(Model{LLMBaseURL: "https://models.example/v1?key=secret", LLMModel: "small"}, "a query")
	f(Model{LLMBaseURL: "http://m.example", LLMModel: "small", LLMBudget: -1}, "--llm-budget")
	f(Model{LLMBaseURL: "http://m.example", LLMModel: "small", LLMAPIKeyFile: "/does/not/exist"}, "llm-api-key-file")
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := Model{LLMBaseURL: "http://m.example", LLMModel: "small", LLMAPIKeyFile: path, LLMTimeout: time.Minute, LLMFirstTimeout: time.Second}
	if err := m.Validate(); err != nil || m.LLMAPIKey != "secret" || m.LLMAPIKey.String() != "***" {
		t.Error(err, m)
	}
}
