package outbox

import (
	"encoding/json"
	"fmt"

	"github.com/applylens/applylens/events"
)

// MarshalHeaders writes headers as [[name, base64 value], ...], their form in every table.
func MarshalHeaders(headers []events.Header) ([]byte, error) {
	pairs := make([][2]any, len(headers))
	for i, header := range headers {
		pairs[i] = [2]any{header.Key, notNull(header.Value)}
	}
	return json.Marshal(pairs)
}

// UnmarshalHeaders reads what MarshalHeaders wrote.
func UnmarshalHeaders(text []byte) ([]events.Header, error) {
	var pairs []pair
	if err := json.Unmarshal(text, &pairs); err != nil {
		return nil, fmt.Errorf("read headers: %w", err)
	}
	headers := make([]events.Header, len(pairs))
	for i, p := range pairs {
		headers[i] = events.Header(p)
	}
	return headers, nil
}

// pair is one header in JSON.
type pair events.Header

// UnmarshalJSON reads [name, base64 value].
func (p *pair) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("%d elements where a name and a value belong", len(parts))
	}
	if err := json.Unmarshal(parts[0], &p.Key); err != nil {
		return err
	}
	return json.Unmarshal(parts[1], &p.Value)
}
