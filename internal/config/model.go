package config

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Model has the settings of the language model that rewords the chat's answers. Without an address there is none.
type Model struct {
	LLMBaseURL      string        `name:"llm-base-url" help:"Address of a language model that speaks OpenAI's protocol, such as http://127.0.0.1:11434/v1 of a local Ollama; default: none." env:"LLM_BASE_URL" placeholder:"URL"`
	LLMModel        string        `name:"llm-model" help:"Name of the model there." env:"LLM_MODEL"`
	LLMAPIKey       Secret        `name:"llm-api-key" help:"Key of the service." env:"LLM_API_KEY"`
	LLMAPIKeyFile   string        `name:"llm-api-key-file" help:"File that contains the key." env:"LLM_API_KEY_FILE" type:"path"`
	LLMTimeout      time.Duration `name:"llm-timeout" help:"Longest time for an answer of the model." env:"LLM_TIMEOUT" default:"60s"`
	LLMFirstTimeout time.Duration `name:"llm-first-timeout" help:"Longest time until the model's first word." env:"LLM_FIRST_TIMEOUT" default:"20s"`
	LLMBudget       int           `name:"llm-budget" help:"How often a person's questions are given to the model on a day (UTC)." env:"LLM_BUDGET" default:"100"`
}

// Given reports whether there is an address.
func (m *Model) Given() bool { return m.LLMBaseURL != "" }

// Validate lists every fault of the settings. A missing address is not a fault.
func (m *Model) Validate() error {
	if !m.Given() {
		return nil
	}
	var faults []error
	if u, err := url.Parse(m.LLMBaseURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		faults = append(faults, errors.New("--llm-base-url is not an http or https address without a password and a query"))
	}
	if m.LLMModel == "" {
		faults = append(faults, errors.New("--llm-base-url needs --llm-model"))
	}
	if m.LLMTimeout <= 0 || m.LLMFirstTimeout <= 0 || m.LLMBudget < 0 {
		faults = append(faults, fmt.Errorf("--llm-timeout %s and --llm-first-timeout %s have to be above 0, and --llm-budget %d not below", m.LLMTimeout, m.LLMFirstTimeout, m.LLMBudget))
	}
	key, err := fromFile(m.LLMAPIKey, m.LLMAPIKeyFile, "llm-api-key")
	if err != nil {
		faults = append(faults, err)
	}
	m.LLMAPIKey, m.LLMAPIKeyFile = key, "" // so that Validate can be called again
	return errors.Join(faults...)
}
