// Package llm is a client of language models that speak OpenAI's chat protocol, such as a local Ollama.
//
// It promises that a request ends: its first word and all of it have a deadline each, an answer has a greatest size, and only some
// requests are under way at once. It follows no redirect, since mail must not go to another place than the one configured, and
// repeats nothing. What a model writes is text to it; internal/chat judges it.
package llm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/applylens/applylens/internal/chat"
)

// The bounds of one answer.
const (
	mostTokens = 600
	mostBytes  = 1 << 20 // on the wire: a server wraps each word in a few hundred bytes
	atOnce     = 8
)

// Config is where a model is and how long it may take.
type Config struct {
	// BaseURL is the address before /chat/completions, such as http://127.0.0.1:11434/v1. Required.
	BaseURL string

	// Model is its name there. Required.
	Model string

	// Key is sent as a bearer token. Default: none.
	Key string

	// Timeout bounds a whole answer, FirstTimeout the time until its first word; both include the wait for other answers.
	// Default: a minute and 20 seconds.
	Timeout, FirstTimeout time.Duration
}

// Client asks a model. It may be used concurrently.
type Client struct {
	api         *openai.Client
	model       string
	whole, word time.Duration
	turns       chan struct{}
}

// The reasons why a model has not answered, beside chat.ErrSlow and errors of the network.
var (
	ErrTooMuch = errors.New("the language model answers without end")
	ErrEmpty   = errors.New("the language model answered nothing")
)

// New returns a client. It opens nothing.
func New(config Config) (*Client, error) {
	if config.BaseURL == "" || config.Model == "" {
		return nil, errors.New("llm: no BaseURL or no Model")
	}
	if config.Timeout <= 0 {
		config.Timeout = time.Minute
	}
	if config.FirstTimeout <= 0 {
		config.FirstTimeout = 20 * time.Second
	}
	settings := openai.DefaultConfig(config.Key)
	settings.BaseURL = config.BaseURL
	settings.HTTPClient = &http.Client{
		Transport:     &bounded{http.DefaultTransport.(*http.Transport).Clone()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Client{
		api: openai.NewClientWithConfig(settings), model: config.Model, whole: config.Timeout, word: min(config.FirstTimeout, config.Timeout),
		turns: make(chan struct{}, atOnce),
	}, nil
}

// Write lets the model answer, and gives take each piece of the text as it comes until take returns false. The error is chat.ErrSlow,
// ErrTooMuch, ErrEmpty, the context's or another; pieces may have been given before it.
func (c *Client) Write(ctx context.Context, prompt chat.Prompt, take func(piece string) bool) error {
	asked := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, c.whole, chat.ErrSlow)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	first := time.AfterFunc(c.word, func() { stop(chat.ErrSlow) })
	defer first.Stop()
	err := c.write(ctx, prompt, func(piece string) bool {
		first.Stop()
		return take(piece)
	})
	switch cause := context.Cause(ctx); {
	case err == nil || asked.Err() != nil:
		return errors.Join(err, asked.Err())
	case errors.Is(cause, chat.ErrSlow):
		return fmt.Errorf("%w: %w", chat.ErrSlow, err)
	}
	return err
}

func (c *Client) write(ctx context.Context, prompt chat.Prompt, take func(piece string) bool) error {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the language model: %w", ctx.Err())
	}
	stream, err := c.api.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model: c.model, MaxCompletionTokens: mostTokens,
		Messages: []openai.ChatCompletionMessage{
			{Role: openai.ChatMessageRoleSystem, Content: prompt.System},
			{Role: openai.ChatMessageRoleUser, Content: prompt.User},
		},
	})
	if err != nil {
		return fmt.Errorf("ask the language model: %w", plain(err))
	}
	defer stream.Close()
	for said := false; ; {
		part, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && said:
			return nil
		case errors.Is(err, io.EOF):
			return ErrEmpty
		case err != nil:
			return fmt.Errorf("read the language model's answer: %w", plain(err))
		}
		for _, choice := range part.Choices {
			if choice.Delta.Content == "" {
				continue
			}
			said = true
			if !take(choice.Delta.Content) {
				return nil
			}
		}
	}
}

// plain leaves out of an error what the server says: it may repeat the mail or the key, and errors are logged.
func plain(err error) error {
	var said *openai.APIError
	var unread *openai.RequestError
	switch {
	case errors.As(err, &said):
		return fmt.Errorf("the server says an error, status %d", said.HTTPStatusCode)
	case errors.As(err, &unread):
		return fmt.Errorf("the server answers with status %d", unread.HTTPStatusCode)
	}
	return err
}

// bounded is a transport whose answers have a greatest size.
type bounded struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.Transport.RoundTrip(r)
	if err == nil {
		response.Body = &limited{response.Body, mostBytes}
	}
	return response, err
}

// limited is a body that fails at its limit, rather than ending there as if it were whole.
type limited struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, ErrTooMuch
	}
	n, err := l.ReadCloser.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
