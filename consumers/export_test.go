package consumers

import "context"

// Claim opens a session of the version as live or as a shadow, for tests of what may come between.
func Claim(ctx context.Context, cfg Config, version int, shadow bool) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg.process = ctx
	s, err := openSession(ctx, &cfg, Version{Number: version, Shadow: shadow}, []int{0, 1, 2}, nil)
	if err == nil {
		s.close()
	}
	return err
}
